//! A copy of an object, made once and hashed on the way, from which everything else is read.

use std::{
    fs::File,
    io::{self, Seek},
};

use futures_util::StreamExt;
use object_store::{GetOptions, GetRange, GetResult, ObjectMeta, ObjectStoreExt, path::Path};
use tokio::io::AsyncWriteExt;

use super::{ObjectError, Store, object_url::ObjectUrl, path_of};
use crate::fingerprint::{Fingerprint, Fingerprinter};

/// How often one transfer that broke off is gone on with.
const RESUMES: u32 = 10;

/// How large a copy may become.
#[derive(Debug, Clone, Copy)]
pub struct CopyLimits {
    /// Bytes of the object.
    pub bytes: u64,
    /// Bytes that are held in memory; what is longer goes to disk.
    pub held: usize,
}

/// The bytes of an object, as it was at one moment.
#[derive(Debug)]
pub struct Copied {
    /// Their SHA-256.
    pub fingerprint: Fingerprint,
    /// How many there are.
    pub bytes: u64,
    /// Where they are.
    pub content: Content,
}

/// Where the bytes of a copy are.
#[derive(Debug)]
pub enum Content {
    /// In memory.
    Held(Vec<u8>),
    /// In a file without a name, rewound.
    Spilled(File),
}

/// An object that could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The store did not hand it out.
    #[error(transparent)]
    Store(#[from] ObjectError),
    /// It is larger than the limit.
    #[error("it has {0} bytes or more")]
    TooLarge(u64),
    /// The copy cannot be written.
    #[error("its copy cannot be written to the folder of temporary files")]
    Disk(#[from] io::Error),
}

/// Copies an object.
///
/// What broke off is gone on with only if the object is still the one that was begun with.
///
/// # Errors
/// If the store does not hand all of it out, it is too large, was replaced, or cannot be written down.
pub async fn copy(store: &Store, object: &ObjectUrl, limits: CopyLimits) -> Result<Copied, CopyError> {
    let path = path_of(object)?;
    let first = store.client.get_opts(&path, GetOptions::default()).await.map_err(ObjectError::from)?;
    let meta = first.meta.clone();
    if meta.size > limits.bytes {
        return Err(CopyError::TooLarge(meta.size));
    }
    let mut spool = Spool::new(meta.size, limits.held);
    let mut stream = first.into_stream();
    let mut resumes = 0;
    loop {
        let broken = match stream.next().await {
            Some(Ok(piece)) => {
                spool.take(&piece).await?;
                if spool.bytes > meta.size {
                    return Err(ObjectError::Replaced.into());
                }
                continue;
            }
            None if spool.bytes == meta.size => break,
            None => ObjectError::Away("ended the transfer early".to_owned()),
            Some(Err(error)) => ObjectError::from(error),
        };
        resumes += 1;
        if spool.bytes == meta.size {
            break;
        }
        if resumes > RESUMES {
            return Err(broken.into());
        }
        stream = resume(store, &path, &meta, spool.bytes, broken).await?.into_stream();
    }
    spool.finish().await.map_err(CopyError::from)
}

/// Asks for the rest of an object, from a byte on.
async fn resume(
    store: &Store,
    path: &Path,
    first: &ObjectMeta,
    from: u64,
    broken: ObjectError,
) -> Result<GetResult, ObjectError> {
    // Without a mark of the object's content nobody could tell that the rest belongs to the beginning.
    let Some(mark) = &first.e_tag else { return Err(broken) };
    let range = Some(GetRange::Bounded(from..first.size));
    let options = GetOptions { range, if_match: Some(mark.clone()), ..GetOptions::default() };
    match store.client.get_opts(path, options).await.map_err(ObjectError::from) {
        // Not every store heeds the condition.
        Ok(rest) if rest.meta.e_tag.as_ref() == Some(mark) => Ok(rest),
        Ok(_) | Err(ObjectError::Replaced | ObjectError::Missing) => Err(ObjectError::Replaced),
        Err(ObjectError::Refused) => Err(ObjectError::Refused),
        // The range may not fit what lies there now.
        Err(ObjectError::Away(reason)) => match store.client.head(path).await.map_err(ObjectError::from) {
            Ok(now) if now.e_tag.as_ref() != Some(mark) => Err(ObjectError::Replaced),
            Err(ObjectError::Missing) => Err(ObjectError::Replaced),
            Ok(_) | Err(_) => Err(ObjectError::Away(reason)),
        },
    }
}

/// Takes bytes in, into memory as long as they are few.
struct Spool {
    held: Vec<u8>,
    file: Option<tokio::fs::File>,
    most: usize,
    bytes: u64,
    hash: Fingerprinter,
}

impl Spool {
    /// For so many bytes as were announced.
    fn new(announced: u64, held: usize) -> Self {
        let most = if announced > held as u64 { 0 } else { held };
        let held = Vec::with_capacity(if most == 0 { 0 } else { announced as usize });
        Self { held, file: None, most, bytes: 0, hash: Fingerprinter::default() }
    }

    async fn take(&mut self, piece: &[u8]) -> io::Result<()> {
        self.hash.update(piece);
        self.bytes += piece.len() as u64;
        if self.file.is_none() {
            if self.held.len() + piece.len() <= self.most {
                self.held.extend_from_slice(piece);
                return Ok(());
            }
            let mut file = tokio::fs::File::from_std(tokio::task::spawn_blocking(tempfile::tempfile).await??);
            file.write_all(&std::mem::take(&mut self.held)).await?;
            self.file = Some(file);
        }
        match &mut self.file {
            Some(file) => file.write_all(piece).await,
            None => Ok(()),
        }
    }

    async fn finish(self) -> io::Result<Copied> {
        let content = match self.file {
            None => Content::Held(self.held),
            Some(mut file) => {
                file.flush().await?;
                let mut file = file.into_std().await;
                file.rewind()?;
                Content::Spilled(file)
            }
        };
        Ok(Copied { fingerprint: self.hash.finish(), bytes: self.bytes, content })
    }
}
