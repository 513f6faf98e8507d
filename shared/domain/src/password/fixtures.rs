//! Fixtures of several test modules.

use super::{Hasher, Params, Password, PasswordCheck, Peppers, SALT_BYTES};

pub(super) const SALT: [u8; SALT_BYTES] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

pub(super) const CHEAP: Params = Params {
    m_kib: 64,
    t: 3,
    p: 1,
};

/// The hash of "correct horse battery staple", made by the reference implementation
/// (argon2-cffi 25.1.0) with [`CHEAP`] and [`SALT`].
pub(super) const REFERENCE: &str = "$argon2id$v=19$m=64,t=3,p=1$AAECAwQFBgcICQoLDA0ODw$vCQOGAogW9Lngs3GSYPyR+dq64+yEzrsFXC3DMzWi/8";

/// The same with the pepper `2026-11` of [`peppers`], made by argon2-cffi's
/// `low_level.core`, which takes a secret.
pub(super) const REFERENCE_WITH_PEPPER: &str = "$argon2id$v=19$m=64,t=3,p=1,keyid=MjAyNi0xMQ$AAECAwQFBgcICQoLDA0ODw$lN16LGMqw2ww0INPTmV2x7seHM9IH+Uq9ger0cVoQN4";

/// 32 bytes `k` in base64.
pub(super) const KEY: &str = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=";

/// Returns peppers of these ids, each with [`KEY`]. The first is the current one.
pub(super) fn peppers(ids: &[&str]) -> Peppers {
    let entries: Vec<String> = ids.iter().map(|id| format!(r#""{id}":"{KEY}""#)).collect();
    let (current, entries) = (ids[0], entries.join(","));
    Peppers::parse(&format!(
        r#"{{"current":"{current}","peppers":{{{entries}}}}}"#
    ))
    .unwrap()
}

pub(super) fn password(text: &str) -> Password {
    Password::parse(text).unwrap()
}

pub(super) fn cheap_hasher() -> Hasher {
    Hasher::with_params(CHEAP).unwrap()
}

/// Returns whether `given` is accepted for an account whose password is `set`.
pub(super) fn matches(given: &str, set: &str) -> bool {
    let mut hasher = cheap_hasher();
    let hash = hasher.hash(&password(set), SALT);
    hasher.verify(&password(given), Some(&hash)) != Ok(PasswordCheck::Mismatch)
}
