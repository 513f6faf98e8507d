//! Secrets sealed by KMS. The encryption context binds each to its account and factor: a
//! secret that is copied into another row does not open.

use aws_sdk_kms::operation::decrypt::DecryptError;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::{Client, Config};
use domain::factors::TotpFactor;
use domain::{AccountId, FactorId};
use errors::chain;
use zeroize::Zeroize as _;

use crate::totp::TotpSecret;

/// Seals and opens secrets.
#[derive(Debug, Clone)]
pub struct Sealer {
    client: Client,
    key: String,
}

/// The reason why a secret was not sealed or opened.
#[derive(Debug)]
pub enum SealError {
    /// What is stored is not what was sealed for this factor.
    Changed,
    /// KMS did not answer, or refused.
    Failed(String),
}

impl Sealer {
    /// Takes the client's configuration, and the key by its ARN; does no I/O.
    #[must_use]
    pub fn new(config: impl Into<Config>, key: String) -> Self {
        let client = Client::from_conf(config.into());
        Self { client, key }
    }

    /// Seals a secret for a factor.
    ///
    /// # Errors
    /// [`SealError::Failed`].
    pub async fn seal(
        &self,
        account: AccountId,
        id: FactorId,
        secret: &TotpSecret,
    ) -> Result<Vec<u8>, SealError> {
        let sent = self
            .client
            .encrypt()
            .key_id(&self.key)
            .plaintext(Blob::new(secret.as_bytes()))
            .encryption_context("account_id", account.to_string())
            .encryption_context("factor_id", id.to_string())
            .send()
            .await
            .map_err(|error| SealError::Failed(chain(&error)))?;
        let sealed = sent.ciphertext_blob;
        sealed
            .map(Blob::into_inner)
            .ok_or_else(|| SealError::Failed("no ciphertext".to_owned()))
    }

    /// Opens the secret of a factor.
    ///
    /// # Errors
    /// [`SealError`].
    pub async fn open(&self, factor: &TotpFactor) -> Result<TotpSecret, SealError> {
        let sent = self
            .client
            .decrypt()
            .key_id(&self.key)
            .ciphertext_blob(Blob::new(factor.sealed.as_slice()))
            .encryption_context("account_id", factor.account.to_string())
            .encryption_context("factor_id", factor.id.to_string())
            .send()
            .await;
        let opened = sent.map_err(|error| match error.as_service_error() {
            Some(
                DecryptError::InvalidCiphertextException(_)
                | DecryptError::IncorrectKeyException(_),
            ) => SealError::Changed,
            _ => SealError::Failed(chain(&error)),
        })?;
        let mut bytes = opened.plaintext.ok_or(SealError::Changed)?.into_inner();
        let secret = TotpSecret::from_bytes(&bytes);
        bytes.zeroize();
        secret.ok_or(SealError::Changed)
    }
}
