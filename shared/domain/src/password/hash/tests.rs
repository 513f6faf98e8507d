use super::super::fixtures::REFERENCE;
use super::*;

#[test]
fn a_malformed_hash_is_rejected() {
    let tag = "vCQOGAogW9Lngs3GSYPyR+dq64+yEzrsFXC3DMzWi/8";
    for text in [
        "",
        "$",
        "$$",
        "password",
        "argon2id$v=19$m=64,t=3,p=1$AAECAwQFBgcICQoLDA0ODw$",
        "$argon2id",
        "$argon2id$v=19$m=64,t=3,p=1$AAECAwQFBgcICQoLDA0ODw",
        &format!("{REFERENCE}$"),
        &format!("{REFERENCE}="),
        &format!("{REFERENCE} "),
        &format!(" {REFERENCE}"),
        &REFERENCE.replace("Wi/8", "Wi/9"),
        &REFERENCE.replace("Wi/8", "Wi_8"),
        &REFERENCE.replace("v=19$", ""),
        &REFERENCE.replace("v=19", "v=019"),
        &REFERENCE.replace("v=19", "v=+19"),
        &REFERENCE.replace("m=64", "m="),
        &REFERENCE.replace("m=64", "m=-64"),
        &REFERENCE.replace("m=64", "m=064"),
        &REFERENCE.replace("m=64", "m=6４"),
        &REFERENCE.replace("m=64,t=3", "t=3,m=64"),
        &REFERENCE.replace("p=1", "p=1,data=AAAA"),
        &REFERENCE.replace(tag, "é"),
        &REFERENCE.replace("p=1", "p=1,"),
        &REFERENCE.replace("p=1", "p=1,keyid="),
        &REFERENCE.replace("p=1", "p=1,keyid=MjAyNi0xMQ=="),
        &REFERENCE.replace("p=1", "p=1,keyid=MjAyNi0xMR"),
        &REFERENCE.replace("p=1", "p=1,KEYID=MjAyNi0xMQ"),
        &REFERENCE.replace("p=1", "p=1,keyid=MjAyNi0xMS0yMg"),
        &REFERENCE.replace("p=1", "p=1,keyid=/////w"),
        &REFERENCE.replace("p=1", "p=1,keyid=JCQ"),
        &REFERENCE.replace("p=1", "p=1,keyid=MjAyNi0xMQ,data=AAAA"),
        &REFERENCE.replace("p=1", "keyid=MjAyNi0xMQ,p=1"),
    ] {
        assert_eq!(
            StoredHash::parse(text),
            Err(StoredHashError::Malformed),
            "{text}"
        );
    }
}

#[test]
fn a_hash_of_another_algorithm_is_rejected() {
    for text in [
        "$argon2i$v=19$m=64,t=3,p=1$AAECAwQFBgcICQoLDA0ODw$C8W2xoWFXVw5yOZgMePINu7i1XC/kkjTfqJcYyNNb80",
        "$2b$12$abcdefghijklmnopqrstuvabcdefghijklmnopqrstuvabcdefghijk",
        &REFERENCE.replace("argon2id", "ARGON2ID"),
        &REFERENCE.replace("argon2id", "argon2d"),
        &REFERENCE.replace("v=19", "v=16"),
    ] {
        assert_eq!(
            StoredHash::parse(text),
            Err(StoredHashError::Unsupported),
            "{text}"
        );
    }
}

#[test]
fn a_hash_that_costs_too_much_or_too_little_is_rejected() {
    let (salt, tag) = (
        "AAECAwQFBgcICQoLDA0ODw",
        "vCQOGAogW9Lngs3GSYPyR+dq64+yEzrsFXC3DMzWi/8",
    );
    for text in [
        &REFERENCE.replace("m=64", "m=65537"),
        &REFERENCE.replace("m=64", "m=4294967295"),
        &REFERENCE.replace("m=64", "m=4294967296"),
        &REFERENCE.replace("m=64", "m=99999999999999999999"),
        &REFERENCE.replace("m=64", "m=7"),
        &REFERENCE.replace("m=64", "m=0"),
        &REFERENCE.replace("t=3", "t=0"),
        &REFERENCE.replace("t=3", "t=11"),
        &REFERENCE.replace("t=3", "t=4294967295"),
        &REFERENCE.replace("p=1", "p=0"),
        &REFERENCE.replace("p=1", "p=5"),
        &REFERENCE.replace("p=1", "p=4294967295"),
        &REFERENCE.replace("m=64,t=3,p=1", "m=31,t=3,p=4"),
        &REFERENCE.replace("m=64,t=3", "m=65536,t=5"),
        &REFERENCE.replace(salt, "AAECAwQFBg"),
        &REFERENCE.replace(salt, &"AAAA".repeat(22)),
        &REFERENCE.replace(salt, ""),
        &REFERENCE.replace(tag, "AAAAAAAAAAAAAAAAAAAA"),
        &REFERENCE.replace(tag, &"AAAA".repeat(22)),
        &REFERENCE.replace(tag, ""),
        &"$".repeat(257),
        &format!("{REFERENCE}{}", "A".repeat(1_000_000)),
    ] {
        let text = &text[..text.len().min(300)];
        assert_eq!(
            StoredHash::parse(text),
            Err(StoredHashError::OutOfBounds),
            "{text}"
        );
    }
}

#[test]
fn a_void_hash_is_read_like_any_other_and_costs_the_same() {
    let void = StoredHash::void([7; 48]);
    assert_eq!(StoredHash::parse(void.as_str()).as_ref(), Ok(&void));
    assert_eq!(void.argon2id.params, Params::DEFAULT);
    assert_ne!(void, StoredHash::void([8; 48]));
}
