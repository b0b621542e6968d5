//! Which chains and slices there are, in any of the stores.

use std::{collections::BTreeSet, fs, io, path::Path};

use bson::{Bson, Document, doc};
use shared::{
    slice::{Entity, Period},
    stores::{
        audit_chain,
        cache::{self, CacheStore},
    },
};

use crate::documents::Documents;

use super::{
    finding::{Code, Findings, Name},
    stores::{StoreError, Stores, query},
};

const KNOWN: &str = include_str!("scope.sql");
const OF_ENTITY: &str = include_str!("scope_of_entity.sql");

/// What is looked at: everything, or one entity's, or one period's.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    pub(super) entity: Option<Entity>,
    pub(super) period: Option<Period>,
}

impl Scope {
    pub(super) fn is_everything(&self) -> bool {
        self.entity.is_none() && self.period.is_none()
    }

    pub(super) fn entity(&self) -> Option<&str> {
        self.entity.as_ref().map(Entity::as_str)
    }

    pub(super) fn period(&self) -> Option<&str> {
        self.period.as_ref().map(Period::as_str)
    }

    pub(super) fn has(&self, name: &Name) -> bool {
        self.entity().is_none_or(|entity| entity == name.entity)
            && self.period().is_none_or(|period| period == name.period)
    }

    /// What MongoDB is asked for.
    pub(super) fn filter(&self) -> Document {
        let mut filter = Document::new();
        if let Some(entity) = self.entity() {
            filter.insert("entity", entity);
        }
        if let Some(period) = self.period() {
            filter.insert("period", period);
        }
        filter
    }
}

/// Names everything that a store knows, and finds what has no name at all.
pub(super) async fn all(stores: &Stores<'_>, scope: &Scope) -> Result<(Vec<Name>, Findings), StoreError> {
    let mut names = BTreeSet::new();
    let mut findings = Findings::about(&Name { entity: "-".to_owned(), period: "-".to_owned() });
    let client = stores.pool.get().await.map_err(shared::stores::postgres::PostgresError::from)?;
    let rows = match scope.entity() {
        Some(entity) => query(&client, "list the slices", OF_ENTITY, &[&entity, &scope.period()]).await?,
        None => query(&client, "list the slices", KNOWN, &[&scope.period()]).await?,
    };
    for row in rows {
        names.insert(Name { entity: row.get("entity"), period: row.get("period") });
    }
    drop(client);
    of_mongo(stores, scope, &mut names, &mut findings).await?;
    of_files(stores, scope, &mut names, &mut findings).await?;
    if scope.is_everything() {
        names.insert(Name {
            entity: audit_chain::SYSTEM_ENTITY.to_owned(),
            period: audit_chain::SYSTEM_PERIOD.to_owned(),
        });
    }
    Ok((names.into_iter().collect(), findings))
}

async fn of_mongo(
    stores: &Stores<'_>,
    scope: &Scope,
    names: &mut BTreeSet<Name>,
    findings: &mut Findings,
) -> Result<(), StoreError> {
    let trail = stores.mongo.audit_trail.clone();
    // Walks along the index of the chains' places.
    let stages = vec![
        doc! { "$match": scope.filter() },
        doc! { "$sort": { "entity": 1, "period": 1 } },
        doc! { "$group": { "_id": { "entity": "$entity", "period": "$period" }, "events": { "$sum": 1 } } },
    ];
    let mut chains =
        Documents::read("list the chains", async move { trail.aggregate(stages).allow_disk_use(true).await });
    while let Some(found) = chains.next().await? {
        let id = found.get_document("_id").cloned().unwrap_or_default();
        match (id.get("entity"), id.get("period")) {
            (Some(Bson::String(entity)), Some(Bson::String(period))) => {
                names.insert(Name { entity: entity.clone(), period: period.clone() });
            }
            _ => {
                let events = found.get("events").map(ToString::to_string).unwrap_or_default();
                findings.add(Code::AuditAdded, format!("{events} documents of audit_trail belong to no chain: {id}"));
            }
        }
    }
    Ok(())
}

async fn of_files(
    stores: &Stores<'_>,
    scope: &Scope,
    names: &mut BTreeSet<Name>,
    findings: &mut Findings,
) -> Result<(), StoreError> {
    let files = match &stores.cache {
        CacheStore::Folder(folder) => in_folder(folder).map_err(StoreError::of_cache(&stores.cache))?,
        CacheStore::Objects(store) => store.names().await.map_err(StoreError::of_cache(&stores.cache))?,
    };
    for file in files {
        match cache::slice_of(&file) {
            Some(slice) => {
                let name = Name::from(&slice);
                if scope.has(&name) {
                    names.insert(name);
                }
            }
            None if file.ends_with(".parquet") && scope.is_everything() => {
                findings.add(Code::ParquetUnknown, format!("the cache has {file}, which is named for no slice"));
            }
            None => {}
        }
    }
    Ok(())
}

/// The names of a folder's files.
fn in_folder(folder: &Path) -> io::Result<Vec<String>> {
    let files = match fs::read_dir(folder) {
        // A cache that is not there has no file of any slice, which each slice tells.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        files => files?,
    };
    files.map(|file| Ok(file?.file_name().to_string_lossy().into_owned())).collect()
}
