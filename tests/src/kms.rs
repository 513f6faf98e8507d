//! A stand-in for KMS that notices tampering, which the emulator's does not: a ciphertext
//! opens only as it was sealed, under the same encryption context.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;

use crate::engine::ServiceResponse;

/// The key of the tests.
pub const KEY: &str = "arn:aws:kms:eu-central-1:000000000000:key/tests";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Call {
    key_id: String,
    encryption_context: BTreeMap<String, String>,
    #[serde(default)]
    plaintext: String,
    #[serde(default)]
    ciphertext_blob: String,
}

/// Answers `Encrypt` and `Decrypt`.
#[must_use]
pub fn answer(operation: &str, body: &str) -> ServiceResponse {
    let call: Call = serde_json::from_str(body).expect("a call of KMS");
    assert_eq!(call.key_id, KEY);
    let context = format!("{:?}", call.encryption_context);
    if operation == "Encrypt" {
        let sealed = json!({ "context": context, "plaintext": call.plaintext });
        let text = STANDARD.encode(sealed.to_string());
        let sum = crc(&text);
        let blob = STANDARD.encode(format!("{sum}.{text}"));
        return json_response(200, &json!({ "KeyId": KEY, "CiphertextBlob": blob }));
    }
    match open(&call.ciphertext_blob, &context) {
        Some(plaintext) => json_response(200, &json!({ "KeyId": KEY, "Plaintext": plaintext })),
        None => json_response(400, &json!({ "__type": "InvalidCiphertextException" })),
    }
}

fn json_response(status: u16, body: &serde_json::Value) -> ServiceResponse {
    let body = body.to_string();
    ServiceResponse { status, body }
}

fn open(blob: &str, context: &str) -> Option<String> {
    let blob = String::from_utf8(STANDARD.decode(blob).ok()?).ok()?;
    let (sum, text) = blob.split_once('.')?;
    let sealed: serde_json::Value = serde_json::from_slice(&STANDARD.decode(text).ok()?).ok()?;
    let is_intact = sum == crc(text) && sealed["context"] == context;
    is_intact.then(|| sealed["plaintext"].as_str().map(str::to_owned))?
}

/// Returns a checksum: the tests change bytes by chance, and not to deceive.
fn crc(text: &str) -> String {
    let sum = text
        .bytes()
        .fold(7_u64, |sum, byte| sum.wrapping_mul(31) + u64::from(byte));
    sum.to_string()
}
