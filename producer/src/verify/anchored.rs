//! The chains against an anchor from before: what was added since is no finding.

use std::{collections::HashMap, path::PathBuf};

use bson::{Bson, Document, doc};
use shared::{settings::Settings, signature::PublicKey, stores::postgres::PostgresError};

use super::{
    finding::{Code, Finding, Findings, Name},
    scope::Scope,
    stores::{StoreError, Stores, query},
};
use crate::{
    anchor::{
        document::{Anchor, Head},
        place::Place,
    },
    documents::Documents,
    errors::CommandError,
};

const HEADS: &str = include_str!("anchored_heads.sql");
const PLACED: &str = include_str!("anchored_placed.sql");
/// Chains that are looked up at a time.
const CHUNK: usize = 256;

/// An anchor, and the key that it must be signed with.
#[derive(Debug, clap::Args)]
pub(super) struct AgainstAnchor {
    /// An anchor from before, a file or an object, which the chains must go on from
    #[arg(long, value_name = "PLACE", requires = "public_key")]
    anchor: Option<Place>,
    /// The public key of who signed it, in PEM
    #[arg(long, value_name = "FILE", requires = "anchor")]
    public_key: Option<PathBuf>,
}

impl AgainstAnchor {
    /// Reads the anchor, if one is given, and makes sure of its signature.
    pub(super) async fn open(&self, settings: &Settings) -> Result<Option<Anchor>, CommandError> {
        let (Some(anchor), Some(key)) = (&self.anchor, &self.public_key) else { return Ok(None) };
        let key = PublicKey::read(key).map_err(|error| CommandError::Input(error.to_string()))?;
        let read = Anchor::read(&anchor.read(settings).await?, &key);
        read.map(Some).map_err(|error| CommandError::Input(format!("{anchor}: {error}")))
    }
}

/// Holds each chain against the anchor.
pub(super) async fn check(stores: &Stores<'_>, scope: &Scope, anchor: &Anchor) -> Result<Vec<Finding>, StoreError> {
    let heads: Vec<&Head> = anchor
        .heads
        .iter()
        .filter(|head| scope.has(&Name { entity: head.entity.clone(), period: head.period.clone() }))
        .collect();
    let mut findings = Vec::new();
    for chunk in heads.chunks(CHUNK) {
        let lengths = lengths(stores, chunk).await?;
        let hashes = hashes(stores, chunk).await?;
        for head in chunk {
            let name = Name { entity: head.entity.clone(), period: head.period.clone() };
            let place = (head.entity.clone(), head.period.clone());
            let mut about = Findings::about(&name);
            let what = format!("the anchor of {} has event {}", anchor.taken_at.to_rfc3339(), head.seq);
            match (lengths.get(&place), hashes.get(&place)) {
                (None, _) => about.add(Code::AnchorBroken, format!("{what}, and PostgreSQL knows no such chain")),
                (Some((seq, _)), _) if *seq < head.seq => {
                    about.add(Code::AnchorBroken, format!("{what}, and the chain ends with event {seq}"));
                }
                (Some((seq, hash)), _) if *seq == head.seq && *hash != head.hash => {
                    about.add(Code::AnchorBroken, format!("{what} with another hash than PostgreSQL knows of it"));
                }
                (Some(_), None) => about.add(Code::AnchorBroken, format!("{what}, which is not there")),
                (Some(_), Some(hash)) if *hash != head.hash => {
                    about.add(Code::AnchorBroken, format!("{what} with another hash than it has now"));
                }
                (Some(_), Some(_)) => {}
            }
            findings.extend(about.list);
        }
    }
    Ok(findings)
}

/// How long the chains are now, and their last hashes.
async fn lengths(stores: &Stores<'_>, heads: &[&Head]) -> Result<HashMap<(String, String), (i64, String)>, StoreError> {
    let entities: Vec<&str> = heads.iter().map(|head| head.entity.as_str()).collect();
    let periods: Vec<&str> = heads.iter().map(|head| head.period.as_str()).collect();
    let client = stores.pool.get().await.map_err(PostgresError::from)?;
    let rows = query(&client, "read the heads of the chains", HEADS, &[&entities, &periods]).await?;
    Ok(rows.iter().map(|row| ((row.get("entity"), row.get("period")), (row.get("seq"), row.get("hash")))).collect())
}

/// The hashes that the anchored events have now, in MongoDB or on their way there.
async fn hashes(stores: &Stores<'_>, heads: &[&Head]) -> Result<HashMap<(String, String), String>, StoreError> {
    let entities: Vec<&str> = heads.iter().map(|head| head.entity.as_str()).collect();
    let periods: Vec<&str> = heads.iter().map(|head| head.period.as_str()).collect();
    let places: Vec<i64> = heads.iter().map(|head| head.seq).collect();
    let client = stores.pool.get().await.map_err(PostgresError::from)?;
    // First what is on its way: an event that is delivered meanwhile is found in MongoDB then.
    let rows = query(&client, "read events on their way", PLACED, &[&entities, &periods, &places]).await?;
    let mut hashes: HashMap<_, String> =
        rows.iter().map(|row| ((row.get("entity"), row.get("period")), row.get("hash"))).collect();
    drop(client);
    let wanted: Vec<Document> =
        heads.iter().map(|head| doc! { "entity": &head.entity, "period": &head.period, "seq": head.seq }).collect();
    let trail = stores.mongo.audit_trail.clone();
    let fields = doc! { "entity": 1, "period": 1, "hash": 1 };
    let mut found =
        Documents::read(
            "find anchored events",
            async move { trail.find(doc! { "$or": wanted }).projection(fields).await },
        );
    while let Some(event) = found.next().await? {
        let text = |name: &str| event.get(name).and_then(Bson::as_str).unwrap_or_default().to_owned();
        hashes.insert((text("entity"), text("period")), text("hash"));
    }
    Ok(hashes)
}
