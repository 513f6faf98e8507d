use super::super::fixtures::{
    CHEAP, REFERENCE, REFERENCE_WITH_PEPPER, SALT, cheap_hasher, matches, password, peppers,
};
use super::*;

const REHASH: Result<PasswordCheck, UnknownPepper> =
    Ok(PasswordCheck::Match { needs_rehash: true });

fn stored(text: &str) -> StoredHash {
    StoredHash::parse(text).unwrap()
}

#[test]
fn every_byte_of_a_long_password_counts() {
    let long = "x".repeat(1023);
    assert!(matches(&format!("{long}y"), &format!("{long}y")));
    assert!(!matches(&format!("{long}y"), &format!("{long}z")));
    assert!(!matches(&long, &format!("{long}z")));
}

#[test]
fn no_secret_shows_in_debug() {
    let mut hasher = cheap_hasher();
    let secret = password("wxyz wxyz wxyz");
    let hash = hasher.hash(&secret, SALT);
    assert_eq!(format!("{secret:?}"), "Password(…)");
    assert_eq!(format!("{hash:?}"), "StoredHash(…)");
    assert_eq!(
        format!("{hasher:?}"),
        "Hasher { params: Params { m_kib: 64, t: 3, p: 1 }, .. }"
    );
}

#[test]
fn hashes_of_the_reference_implementation_match() {
    let mut hasher = cheap_hasher();
    for (text, hash) in [
        ("correct horse battery staple", REFERENCE),
        (
            "correct horse battery staple",
            "$argon2id$v=19$m=19456,t=2,p=1$AAECAwQFBgcICQoLDA0ODw$gYJZtjEAJqjg26xdLmknq8/bB7MiWPrE9hsYuA+SkIU",
        ),
        (
            "passwörd mit Ümläut",
            "$argon2id$v=19$m=256,t=3,p=4$AAECAwQFBgcICQoLDA0ODw$Ybc9qBL1Vw9dXVJOy76hbsqSVqqlea5e4VU7VzHZ5Ao",
        ),
        (
            "correct horse battery staple",
            "$argon2id$v=19$m=65536,t=3,p=4$AAECAwQFBgcICQoLDA0ODw$hTsnKkTbFCHAKWJmmlXrCZTzyrOF7RxMeSU+7hm6tJ4",
        ),
        (
            "correct horse battery staple",
            "$argon2id$v=19$m=64,t=1,p=1$AAECAwQFBgc$qMOW7PF01xIltPkhQfXNig",
        ),
    ] {
        let check = hasher.verify(&password(text), Some(&stored(hash)));
        assert_ne!(check, Ok(PasswordCheck::Mismatch), "{hash}");
        let check = hasher.verify(
            &password("Correct horse battery staple"),
            Some(&stored(hash)),
        );
        assert_eq!(check, Ok(PasswordCheck::Mismatch), "{hash}");
    }
}

#[test]
fn a_hash_is_the_phc_string_of_the_reference_implementation() {
    let hash = cheap_hasher().hash(&password("correct horse battery staple"), SALT);
    assert_eq!(hash.as_str(), REFERENCE);
    assert_eq!(hash, stored(REFERENCE));
    let hash = Hasher::new().hash(&password("correct horse battery staple"), SALT);
    assert_eq!(
        hash.as_str(),
        "$argon2id$v=19$m=19456,t=2,p=1$AAECAwQFBgcICQoLDA0ODw$gYJZtjEAJqjg26xdLmknq8/bB7MiWPrE9hsYuA+SkIU"
    );
}

#[test]
fn a_changed_salt_or_tag_does_not_match() {
    let mut hasher = cheap_hasher();
    let given = password("correct horse battery staple");
    for changed in [
        REFERENCE.replace("$AAEC", "$BAEC"),
        REFERENCE.replace("$vCQO", "$wCQO"),
        REFERENCE.replace("Wi/8", "Wi/4"),
        REFERENCE.replace("t=3", "t=2"),
        REFERENCE.replace("m=64", "m=72"),
    ] {
        assert_ne!(changed, REFERENCE);
        assert_eq!(
            hasher.verify(&given, Some(&stored(&changed))),
            Ok(PasswordCheck::Mismatch)
        );
    }
}

#[test]
fn no_password_matches_an_account_that_does_not_exist() {
    let mut hasher = cheap_hasher();
    for text in ["", "correct horse battery staple"] {
        assert_eq!(
            hasher.verify(&password(text), None),
            Ok(PasswordCheck::Mismatch)
        );
    }
}

#[test]
fn a_hash_with_other_parameters_needs_a_rehash() {
    let given = password("correct horse battery staple");
    let mut hasher = cheap_hasher();
    let now = hasher.verify(&given, Some(&stored(REFERENCE)));
    assert_eq!(
        now,
        Ok(PasswordCheck::Match {
            needs_rehash: false
        })
    );
    let short = "$argon2id$v=19$m=64,t=1,p=1$AAECAwQFBgc$qMOW7PF01xIltPkhQfXNig";
    let other = hasher.verify(&given, Some(&stored(short)));
    assert_eq!(other, REHASH);
    for (salt_bytes, tag_bytes) in [(8, TAG_BYTES), (SALT_BYTES, 16)] {
        let (salt, mut tag) = (vec![1; salt_bytes], vec![0; tag_bytes]);
        hasher.compute(CHEAP, &given, None, &salt, &mut tag);
        let short = Argon2id {
            params: CHEAP,
            pepper: None,
            salt,
            tag,
        };
        let short = short.into_stored();
        let check = hasher.verify(&given, Some(&short));
        assert_eq!(check, REHASH);
    }
    let mut raised = Hasher::with_params(Params {
        m_kib: 128,
        ..CHEAP
    })
    .unwrap();
    let before = raised.verify(&given, Some(&stored(REFERENCE)));
    assert_eq!(before, REHASH);
}

#[test]
fn every_result_takes_the_same_work() {
    let params = Params {
        m_kib: 1024,
        t: 2,
        p: 1,
    };
    let mut hasher = Hasher::with_params(params).unwrap();
    let right = password("correct horse battery staple");
    let current = hasher.hash(&right, SALT);
    let cheaper = stored(REFERENCE);
    let mut work = |given: &Password, stored: Option<&StoredHash>| {
        let before = hasher.blocks_filled;
        let _ = hasher.verify(given, stored);
        hasher.blocks_filled - before
    };
    assert_eq!(work(&right, Some(&current)), 2048);
    assert_eq!(work(&password("wrong"), Some(&current)), 2048);
    assert_eq!(work(&password(""), None), 2048);
    assert_eq!(work(&right, None), 2048);
    assert_eq!(work(&right, Some(&cheaper)), 2048);
    assert_eq!(work(&password("wrong"), Some(&cheaper)), 2048);
}

/// Returns a hasher with the peppers `ids`, of which the first is the current one.
fn with_peppers(ids: &[&str]) -> Hasher {
    let mut hasher = cheap_hasher();
    hasher.set_peppers(peppers(ids));
    hasher
}

#[test]
fn a_hash_with_a_pepper_names_it_and_is_that_of_the_reference_implementation() {
    let given = password("correct horse battery staple");
    let mut hasher = with_peppers(&["2026-11"]);
    let hash = hasher.hash(&given, SALT);
    assert_eq!(hash.as_str(), REFERENCE_WITH_PEPPER);
    assert_eq!(hash, stored(REFERENCE_WITH_PEPPER));
    let needs_rehash = false;
    let check = hasher.verify(&given, Some(&hash));
    assert_eq!(check, Ok(PasswordCheck::Match { needs_rehash }));
    let check = hasher.verify(&password("wrong"), Some(&hash));
    assert_eq!(check, Ok(PasswordCheck::Mismatch));
}

#[test]
fn another_pepper_of_the_same_id_does_not_match() {
    let given = password("correct horse battery staple");
    let hash = with_peppers(&["2026-11"]).hash(&given, SALT);
    let mut hasher = cheap_hasher();
    let other = r#"{"current":"2026-11","peppers":{"2026-11":"KEY"}}"#;
    let other = other.replace("KEY", "bm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm4=");
    hasher.set_peppers(Peppers::parse(&other).unwrap());
    assert_eq!(
        hasher.verify(&given, Some(&hash)),
        Ok(PasswordCheck::Mismatch)
    );
}

#[test]
fn a_hash_with_an_unknown_pepper_is_neither_right_nor_wrong() {
    let hash = stored(REFERENCE_WITH_PEPPER);
    for mut hasher in [cheap_hasher(), with_peppers(&["2026-12"])] {
        for text in ["correct horse battery staple", "wrong"] {
            let error = hasher.verify(&password(text), Some(&hash)).unwrap_err();
            assert_eq!(error.0.as_str(), "2026-11");
        }
    }
}

#[test]
fn a_hash_with_another_pepper_or_none_needs_a_rehash() {
    let given = password("correct horse battery staple");
    let mut rotated = with_peppers(&["2026-12", "2026-11"]);
    let old = rotated.verify(&given, Some(&stored(REFERENCE_WITH_PEPPER)));
    assert_eq!(old, REHASH);
    let none = rotated.verify(&given, Some(&stored(REFERENCE)));
    assert_eq!(none, REHASH);
    let new = rotated.hash(&given, SALT);
    assert!(new.as_str().contains(",keyid=MjAyNi0xMg$"));
    assert_eq!(
        rotated.verify(&given, Some(&new)),
        Ok(PasswordCheck::Match {
            needs_rehash: false
        })
    );
}

#[test]
fn every_result_takes_the_same_work_with_a_pepper() {
    let mut hasher = with_peppers(&["2026-12", "2026-11"]);
    let right = password("correct horse battery staple");
    let current = hasher.hash(&right, SALT);
    let mut work = |given: &Password, stored: Option<&StoredHash>| {
        let before = hasher.blocks_filled;
        let _ = hasher.verify(given, stored).unwrap();
        hasher.blocks_filled - before
    };
    let (old, none) = (stored(REFERENCE_WITH_PEPPER), stored(REFERENCE));
    for given in [&right, &password("wrong")] {
        for stored in [None, Some(&current), Some(&old), Some(&none)] {
            assert_eq!(work(given, stored), 192);
        }
    }
}

#[test]
fn parameters_out_of_bounds_are_rejected() {
    for params in [
        Params {
            m_kib: 65_537,
            t: 1,
            p: 1,
        },
        Params {
            m_kib: 64,
            t: 0,
            p: 1,
        },
        Params {
            m_kib: 64,
            t: 1,
            p: 0,
        },
        Params {
            m_kib: 15,
            t: 1,
            p: 2,
        },
        Params {
            m_kib: u32::MAX,
            t: u32::MAX,
            p: 1,
        },
    ] {
        assert_eq!(
            Hasher::with_params(params).err(),
            Some(ParamsError),
            "{params:?}"
        );
    }
    assert_eq!(
        Params::default(),
        Params {
            m_kib: 19_456,
            t: 2,
            p: 1
        }
    );
}

#[test]
fn every_hash_uses_the_same_buffer_and_wipes_it() {
    let mut hasher = cheap_hasher();
    let (at, blocks) = (hasher.memory.as_ptr(), hasher.memory.len());
    let hash = hasher.hash(&password("correct horse battery staple"), SALT);
    let _ = hasher.verify(&password("correct horse battery staple"), Some(&hash));
    let _ = hasher.verify(&password("wrong"), None);
    assert_eq!((hasher.memory.as_ptr(), hasher.memory.len()), (at, blocks));
    assert!(
        hasher
            .memory
            .iter()
            .all(|block| block.as_ref().iter().all(|word| *word == 0))
    );
}

#[test]
fn the_buffer_grows_once_for_a_larger_hash_and_never_beyond_the_bound() {
    let with_m = |m_kib| Hasher::with_params(Params { m_kib, t: 1, p: 1 }).unwrap();
    let given = password("correct horse battery staple");
    let hash = with_m(Params::MAX_M_KIB).hash(&given, SALT);
    let mut hasher = with_m(40_000);
    for _ in 0..2 {
        let check = hasher.verify(&given, Some(&hash));
        assert_eq!(check, REHASH);
        assert_eq!(hasher.memory.len(), 65_536);
        assert_eq!(hasher.memory.capacity(), 65_536);
    }
}

/// The page faults of this thread so far (proc(5), field 10 of `stat`).
#[cfg(target_os = "linux")]
fn page_faults() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    let (_, after_name) = stat.rsplit_once(") ").unwrap();
    after_name.split(' ').nth(7).unwrap().parse().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn the_first_hash_causes_no_page_faults() {
    let given = password("correct horse battery staple");
    for mut hasher in [Hasher::new(), prewarmed()] {
        let before = page_faults();
        let _ = hasher.hash(&given, SALT);
        let faults = page_faults() - before;
        assert!(faults < 64, "{faults} page faults");
    }
}

#[test]
fn a_prewarmed_hasher_hashes_like_any_other_and_keeps_its_buffer() {
    let given = password("correct horse battery staple");
    let mut hasher = prewarmed();
    let hash = hasher.hash(&given, SALT);
    assert_eq!(hash, Hasher::new().hash(&given, SALT));
    let (at, blocks) = (hasher.memory.as_ptr(), hasher.memory.len());
    assert_eq!(blocks, 19_456);
    let _ = hasher.verify(&given, Some(&hash));
    assert_eq!((hasher.memory.as_ptr(), hasher.memory.len()), (at, blocks));
    hasher.prewarm();
    assert!(hasher.prewarming.is_none());
}

#[test]
fn a_lazy_hasher_allocates_its_buffer_at_the_first_hash() {
    let given = password("correct horse battery staple");
    let hash = Hasher::lazy().hash(&given, SALT);
    assert_eq!(hash, Hasher::new().hash(&given, SALT));
}

fn prewarmed() -> Hasher {
    let mut hasher = Hasher::lazy();
    hasher.prewarm();
    hasher
}
