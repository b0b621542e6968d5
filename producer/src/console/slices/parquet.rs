//! A slice's file of the Parquet cache, as it lies there.

use std::{io, sync::Arc};

use axum::{
    body::{Body, Bytes},
    extract::{Path, State as Shared},
    http::{HeaderValue, header},
    response::Response,
};
use futures_util::{TryStreamExt, stream::try_unfold};
use shared::{
    slice::Slice,
    stores::{
        cache::{self, CacheStore},
        object_store::ObjectError,
    },
};
use tokio::io::AsyncReadExt;

use super::{attach, named};
use crate::{
    console::{Console, problem::Problem},
    verify::stores::{StoreError, open_cache},
};

const KIND: &str = "application/vnd.apache.parquet";
/// Bytes that are read at a time.
const PIECE: usize = 64 << 10;

/// The file. Whoever replaces it meanwhile does not change what is sent.
pub(crate) async fn parquet(
    Shared(console): Shared<Arc<Console>>,
    Path((entity, period)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let slice = named(&entity, &period)?;
    let cache = open_cache(&console.settings)?;
    let name = cache::file_name(&slice);
    let (bytes, body) = match &cache {
        CacheStore::Folder(folder) => match tokio::fs::File::open(folder.join(name)).await {
            Ok(file) => of_file(file).await,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing(&slice)),
            Err(error) => Err(error),
        }
        .map_err(|error| StoreError::of_cache(&cache)(error).at(&console.settings))?,
        CacheStore::Objects(store) => match store.read(&store.root().join(&name)).await {
            Ok((bytes, pieces)) => (bytes, Body::from_stream(pieces.map_err(io::Error::other))),
            Err(ObjectError::Missing) => return Err(missing(&slice)),
            Err(error) => return Err(StoreError::of_cache(&cache)(error).at(&console.settings).into()),
        },
    };
    let mut response = attach(Response::new(body), KIND, &slice, "accounts.parquet");
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
    Ok(response)
}

fn missing(slice: &Slice) -> Problem {
    Problem::unknown(format!(
        "{slice} has no Parquet file: a worker writes it after it has loaded the slice, and Now says how many wait for that"
    ))
}

async fn of_file(file: tokio::fs::File) -> io::Result<(u64, Body)> {
    let bytes = file.metadata().await?.len();
    let pieces = try_unfold(file, |mut file| async move {
        let mut piece = vec![0; PIECE];
        let read = file.read(&mut piece).await?;
        piece.truncate(read);
        Ok::<_, io::Error>((read > 0).then(|| (Bytes::from(piece), file)))
    });
    Ok((bytes, Body::from_stream(pieces)))
}
