//! The Parquet cache: where it is, what its files are called, and what they say of themselves.

use std::path::{Path, PathBuf};

use crate::slice::{Entity, Period, Slice};

/// Names, in a file's key-value metadata, the job whose rows it holds.
pub const JOB_ID: &str = "job_id";
/// Names, in a file's key-value metadata, the file that they came from.
pub const FINGERPRINT: &str = "fingerprint";
/// Names, in a file's key-value metadata, the legal entity.
pub const ENTITY: &str = "entity";
/// Names, in a file's key-value metadata, the period.
pub const PERIOD: &str = "period";

const ENDING: &str = "_ingested.parquet";

/// The folder that a setting names: a path, which may be below `base`, or a `file://` URL. None if it
/// is a URL of another scheme.
pub fn folder(setting: &str, base: &Path) -> Option<PathBuf> {
    match setting.split_once("://") {
        None => Some(base.join(setting)),
        Some(("file", path)) => Some(path.into()),
        Some(_) => None,
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
    fn the_folder_is_a_path_or_a_file_url() {
        let base = Path::new("/base");
        assert_eq!(folder("data/processed", base), Some("/base/data/processed".into()));
        assert_eq!(folder("/cache", base), Some("/cache".into()));
        assert_eq!(folder("file:///cache", base), Some("/cache".into()));
        assert_eq!(folder("s3://bucket/cache", base), None);
    }
}
