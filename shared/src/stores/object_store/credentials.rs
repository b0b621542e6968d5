//! Credentials that stand in files: read for each request, so that they may change while a program runs.

use std::sync::Arc;

use object_store::{
    CredentialProvider,
    aws::AwsCredential,
    azure::{AzureAccessKey, AzureCredential},
};

use crate::secret::Secret;

/// A key for `s3://`.
#[derive(Debug)]
pub(super) struct S3Key {
    pub(super) id: Secret,
    pub(super) key: Secret,
    pub(super) token: Option<Secret>,
}

#[async_trait::async_trait]
impl CredentialProvider for S3Key {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let token = self.token.as_ref().map(Secret::current);
        Ok(Arc::new(AwsCredential { key_id: self.id.current(), secret_key: self.key.current(), token }))
    }
}

/// The key of a storage account for `az://`.
#[derive(Debug)]
pub(super) struct AzureKey(pub(super) Secret);

#[async_trait::async_trait]
impl CredentialProvider for AzureKey {
    type Credential = AzureCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AzureCredential>> {
        let unusable = |source| object_store::Error::Generic { store: "MicrosoftAzure", source: Box::new(source) };
        let key = AzureAccessKey::try_new(&self.0.current()).map_err(unusable)?;
        Ok(Arc::new(AzureCredential::AccessKey(key)))
    }
}
