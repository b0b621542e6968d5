//! What MongoDB finds, document by document, with a time limit for each.

use std::time::Duration;

use bson::Document;
use futures_util::TryStreamExt;
use mongodb::{Collection, Cursor};
use shared::stores::mongo::MongoError;
use tokio::{sync::mpsc, time::timeout};

/// How long MongoDB may take for the next documents.
const STALLED: Duration = Duration::from_secs(60);
/// Documents that are fetched, and that wait, at a time.
const BATCH: u32 = 256;

/// Documents on their way from MongoDB. The driver's futures must not be dropped half-way, so a task
/// of its own reads them.
pub(crate) struct Documents {
    what: &'static str,
    receiver: mpsc::Receiver<Result<Document, mongodb::error::Error>>,
}

impl Documents {
    /// Begins to read what a call finds.
    pub(crate) fn read<F>(what: &'static str, call: F) -> Self
    where
        F: Future<Output = Result<Cursor<Document>, mongodb::error::Error>> + Send + 'static,
    {
        let (sender, receiver) = mpsc::channel(BATCH as usize);
        tokio::spawn(async move {
            let read = async {
                let mut cursor = call.await?;
                while let Some(document) = cursor.try_next().await? {
                    if sender.send(Ok(document)).await.is_err() {
                        break;
                    }
                }
                Ok(())
            };
            if let Err(error) = read.await {
                let _ = sender.send(Err(error)).await;
            }
        });
        Self { what, receiver }
    }

    /// Begins to read documents in the order of a field.
    pub(crate) fn find(
        what: &'static str,
        collection: &Collection<Document>,
        filter: Document,
        projection: Document,
        sort: Document,
    ) -> Self {
        let collection = collection.clone();
        Self::read(what, async move {
            collection.find(filter).projection(projection).sort(sort).batch_size(BATCH).allow_disk_use(true).await
        })
    }

    /// The next one, or none after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Document>, MongoError> {
        match timeout(STALLED, self.receiver.recv()).await {
            Ok(None) => Ok(None),
            Ok(Some(Ok(document))) => Ok(Some(document)),
            Ok(Some(Err(source))) => Err(MongoError::Call { what: self.what, source: Box::new(source) }),
            Err(_) => Err(MongoError::Timeout { what: self.what }),
        }
    }
}
