//! The Parquet cache: where it is, what its files are called, and what they say of themselves.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use crate::{
    roots::kind_of,
    slice::{Entity, Period, Slice},
    stores::object_store::{Store, access::StoreAccess, object_url::ObjectUrl},
};

/// Names, in a file's key-value metadata, the job whose rows it holds.
pub const JOB_ID: &str = "job_id";
/// Names, in a file's key-value metadata, the file that they came from.
pub const FINGERPRINT: &str = "fingerprint";
/// Names, in a file's key-value metadata, the legal entity.
pub const ENTITY: &str = "entity";
/// Names, in a file's key-value metadata, the period.
pub const PERIOD: &str = "period";

const ENDING: &str = "_ingested.parquet";

/// Where the cache's files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheStore {
    /// In a folder.
    Folder(PathBuf),
    /// Below a prefix in an object store.
    Objects(Store),
}

impl CacheStore {
    /// What a setting names: a path, which may be below `base`, a `file://` URL or a prefix in an object
    /// store.
    ///
    /// # Errors
    /// If it is a URL of another scheme, or the settings do not suffice to reach it.
    pub fn open(setting: &str, base: &Path, access: &StoreAccess) -> Result<Self, String> {
        if kind_of(setting).is_some() {
            let url = ObjectUrl::parse(setting, true).map_err(|reason| format!("AURA_CACHE_URL {reason}"))?;
            let store = Store::open(url, access).map_err(|error| crate::telemetry::chain(&error))?;
            return Ok(Self::Objects(store));
        }
        match setting.split_once("://") {
            None => Ok(Self::Folder(base.join(setting))),
            Some(("file", path)) => Ok(Self::Folder(path.into())),
            Some(_) => Err("AURA_CACHE_URL must be a folder, or a URL of file://, s3://, gs:// or az://".to_owned()),
        }
    }
}

impl fmt::Display for CacheStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
            Self::Objects(store) => store.fmt(f),
        }
    }
}

/// The name of a slice's file.
pub fn file_name(slice: &Slice) -> String {
    format!("{}_{}{ENDING}", slice.entity, slice.period)
}

/// The slice that a file of this name belongs to, if it is one of the cache's.
pub fn slice_of(file_name: &str) -> Option<Slice> {
    let (entity, period) = file_name.strip_suffix(ENDING)?.rsplit_once('_')?;
    Some(Slice { entity: entity.parse::<Entity>().ok()?, period: period.parse::<Period>().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_name_tells_its_slice() {
        let slice = Slice { entity: "A_B.C".parse().unwrap(), period: "2022-13".parse().unwrap() };
        assert_eq!(slice_of(&file_name(&slice)), Some(slice));
        for other in [
            "A_2022-06.parquet",
            ".A_2022-06_ingested.parquet",
            "2022-06_ingested.parquet",
            "A_2022-6_ingested.parquet",
        ] {
            assert_eq!(slice_of(other), None, "{other}");
        }
    }

    #[test]
    fn the_cache_is_a_folder_or_below_a_prefix() {
        let open = |setting: &str| {
            CacheStore::open(setting, Path::new("/base"), &StoreAccess::default()).map(|cache| cache.to_string())
        };
        assert_eq!(open("data/processed").unwrap(), "/base/data/processed");
        assert_eq!(open("/cache").unwrap(), "/cache");
        assert_eq!(open("file:///cache").unwrap(), "/cache");
        assert_eq!(open("s3://bucket/cache/").unwrap(), "s3://bucket/cache");
        assert_eq!(open("gs://bucket").unwrap(), "gs://bucket");
        for other in ["http://bucket/cache", "s3://", "s3://bucket/../cache"] {
            assert!(open(other).is_err(), "{other}");
        }
    }
}
