//! The envelope in which SNS posts a message, and its signature.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateDer;
use serde::Deserialize;
use webpki::EndEntityCert;
use webpki::ring::RSA_PKCS1_2048_8192_SHA256;

/// The version of signatures over SHA-256. The default of SNS is SHA-1; Curfew's
/// topic sets this version.
const SIGNATURE_VERSION: &str = "2";

/// An envelope, with the members that are used.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Notification {
    /// `Notification`, `SubscriptionConfirmation` or `UnsubscribeConfirmation`.
    #[serde(rename = "Type")]
    pub kind: String,
    /// The topic of the message.
    pub topic_arn: String,
    /// The message itself.
    pub message: String,
    message_id: String,
    timestamp: String,
    subject: Option<String>,
    /// The secret that confirms a subscription.
    pub token: Option<String>,
    #[serde(rename = "SubscribeURL")]
    subscribe_url: Option<String>,
    signature_version: String,
    signature: String,
    /// The address of the certificate, as the sender claims.
    #[serde(rename = "SigningCertURL")]
    pub signing_cert_url: String,
}

impl Notification {
    /// Returns whether the key of the certificate has signed the envelope.
    #[must_use]
    pub fn is_signed_by(&self, certificate: &CertificateDer<'_>) -> bool {
        let (Ok(certificate), Ok(signature)) = (
            EndEntityCert::try_from(certificate),
            STANDARD.decode(&self.signature),
        ) else {
            return false;
        };
        self.signature_version == SIGNATURE_VERSION
            && certificate
                .verify_signature(
                    RSA_PKCS1_2048_8192_SHA256,
                    self.signed_text().as_bytes(),
                    &signature,
                )
                .is_ok()
    }

    /// Returns the signed text: some members in the order of their names, each as a
    /// line with its name and a line with its value.
    fn signed_text(&self) -> String {
        let of_confirmations = |value: &Option<String>| match self.kind.as_str() {
            "Notification" => None,
            _ => value.clone(),
        };
        let members = [
            ("Message", Some(self.message.clone())),
            ("MessageId", Some(self.message_id.clone())),
            ("Subject", self.subject.clone()),
            ("SubscribeURL", of_confirmations(&self.subscribe_url)),
            ("Timestamp", Some(self.timestamp.clone())),
            ("Token", of_confirmations(&self.token)),
            ("TopicArn", Some(self.topic_arn.clone())),
            ("Type", Some(self.kind.clone())),
        ];
        members
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name}\n{}\n", value?)))
            .collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use rustls_pki_types::pem::PemObject as _;
    use serde_json::{Value, json};

    use super::*;

    /// Signed in the way of SNS, with a key that was not kept.
    pub(crate) const NOTIFICATION: &str = include_str!("signed/notification.json");
    pub(crate) const CONFIRMATION: &str = include_str!("signed/confirmation.json");
    const CERTIFICATE: &[u8] = include_bytes!("signed/certificate.pem");

    pub(crate) fn certificate() -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(CERTIFICATE).unwrap()
    }

    fn is_signed(envelope: &Value) -> bool {
        let envelope: Notification = serde_json::from_value(envelope.clone()).unwrap();
        envelope.is_signed_by(&certificate())
    }

    #[test]
    fn signed_envelopes_are_accepted() {
        for envelope in [NOTIFICATION, CONFIRMATION] {
            assert!(is_signed(&serde_json::from_str(envelope).unwrap()));
        }
    }

    #[test]
    fn envelopes_changed_after_signing_are_rejected() {
        let signed = [
            (NOTIFICATION, "Message"),
            (NOTIFICATION, "MessageId"),
            (NOTIFICATION, "Timestamp"),
            (NOTIFICATION, "TopicArn"),
            (NOTIFICATION, "Type"),
            (NOTIFICATION, "Subject"),
            (NOTIFICATION, "Signature"),
            (NOTIFICATION, "SignatureVersion"),
            (CONFIRMATION, "Token"),
            (CONFIRMATION, "SubscribeURL"),
        ];
        for (envelope, member) in signed {
            let mut envelope: Value = serde_json::from_str(envelope).unwrap();
            let was = envelope[member].as_str().unwrap_or_default();
            envelope[member] = json!(format!("{was}x"));

            assert!(!is_signed(&envelope), "{member}");
        }
    }

    #[test]
    fn signatures_over_sha_1_are_rejected() {
        let mut envelope: Value = serde_json::from_str(NOTIFICATION).unwrap();
        envelope["SignatureVersion"] = json!("1");

        assert!(!is_signed(&envelope));
    }
}
