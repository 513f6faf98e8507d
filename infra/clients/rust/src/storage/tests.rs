use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::{Session, Storage};
use crate::Secret;

/// An empty folder of this name.
fn folder(name: &str) -> PathBuf {
    let target = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../target");
    let folder = PathBuf::from(target).join("tests-of-storage").join(name);
    let _ = fs::remove_dir_all(&folder);
    folder
}

fn session(account: &str, id: &str) -> Session {
    Session {
        token: Secret::new(format!("cft_{id}")),
        id: id.into(),
        device: "tv".into(),
        account: account.into(),
        email: format!("{account}@example.com"),
    }
}

fn key(n: u8) -> Secret {
    Secret::new(format!("cfd_1795168800000_{}", n.to_string().repeat(43)))
}

fn store_film(storage: &mut Storage) {
    let stored = storage.store("film".into(), "at 12 minutes".into());
    stored.unwrap();
}

/// Returns whether any file in a folder contains a text.
fn contains(folder: &PathBuf, text: &str) -> bool {
    fs::read_dir(folder).unwrap().any(|file| {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        String::from_utf8_lossy(&bytes).contains(text)
    })
}

#[test]
fn a_wipe_leaves_the_device_key_alone() {
    let folder = folder("wipe");
    let mut storage = Storage::in_folder(folder.clone()).unwrap();
    let key = key(1);
    storage.begin(session("home", "1"), Some(&key)).unwrap();
    store_film(&mut storage);
    assert!(contains(&folder, "cft_1") && contains(&folder, "at 12 minutes"));

    storage.wipe().unwrap();

    assert!(!contains(&folder, "cft_1") && !contains(&folder, "at 12 minutes"));
    assert_eq!((storage.session(), storage.entries().len()), (None, 0));
    assert_eq!(storage.device_key().unwrap(), Some(key));
}

#[test]
fn a_device_that_is_switched_on_again_is_still_signed_in() {
    let folder = folder("on-again");
    let mut storage = Storage::in_folder(folder.clone()).unwrap();
    storage.begin(session("home", "1"), None).unwrap();
    store_film(&mut storage);
    assert!(Storage::in_folder(folder.clone()).is_err(), "it is in use");
    drop(storage);

    let storage = Storage::in_folder(folder).unwrap();

    assert_eq!(storage.session(), Some(&session("home", "1")));
    assert_eq!(storage.entries().len(), 1);
}

#[test]
fn an_interrupted_wipe_is_finished() {
    let folder = folder("begun");
    let mut storage = Storage::in_folder(folder.clone()).unwrap();
    storage.begin(session("home", "1"), None).unwrap();
    store_film(&mut storage);
    storage.account.wiping = true;
    storage.save().unwrap();
    drop(storage);

    let storage = Storage::in_folder(folder.clone()).unwrap();

    assert_eq!((storage.session(), storage.entries().len()), (None, 0));
    assert!(!contains(&folder, "at 12 minutes"));
}

#[test]
fn a_storage_of_the_device_key_writes_nothing_else() {
    let folder = folder("key");
    let mut storage = Storage::device_key_only(folder.clone()).unwrap();
    let key = key(1);
    storage.begin(session("home", "1"), Some(&key)).unwrap();
    store_film(&mut storage);
    assert!(!contains(&folder, "cft_1") && !contains(&folder, "at 12 minutes"));
    let file = folder.join("device-key");
    let mode = fs::metadata(file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    drop(storage);

    let storage = Storage::device_key_only(folder).unwrap();

    assert_eq!(storage.session(), None);
    assert_eq!(storage.device_key().unwrap(), Some(key));
}

#[test]
fn another_accounts_entries_are_removed() {
    let mut storage = Storage::in_memory();
    storage.begin(session("home", "1"), None).unwrap();
    store_film(&mut storage);
    assert!(storage.forget(&session("home", "1")).unwrap());
    storage.begin(session("home", "2"), None).unwrap();
    assert_eq!(
        storage.entries().len(),
        1,
        "the same account keeps its entries"
    );

    storage.begin(session("elsewhere", "3"), None).unwrap();

    assert_eq!(storage.entries().len(), 0);
    assert_eq!(storage.session(), Some(&session("elsewhere", "3")));
}

#[test]
fn each_account_has_its_own_device_key() {
    let folder = folder("keys");
    let mut storage = Storage::in_folder(folder.clone()).unwrap();
    let of = |storage: &Storage, account: &str| {
        let key = storage.device_key_of(&format!(" {account}@Example.com"));
        key.unwrap()
    };
    for (account, n) in [("home", 1), ("elsewhere", 2), ("home", 3)] {
        let session = session(account, "1");
        storage.begin(session, Some(&key(n))).unwrap();
    }

    assert_eq!(of(&storage, "home"), Some(key(3)));
    assert_eq!(of(&storage, "elsewhere"), Some(key(2)));
    assert_eq!(of(&storage, "third"), None);
    storage.wipe().unwrap();
    assert!(!contains(&folder, "example"), "no address is kept");
    fs::write(folder.join("device-key"), "1234 cfd_damaged\n").unwrap();
    assert_eq!(storage.device_key().unwrap(), None);
}

#[test]
fn a_late_forget_keeps_the_new_session() {
    let mut storage = Storage::in_memory();
    storage.begin(session("home", "1"), None).unwrap();
    storage.begin(session("home", "2"), None).unwrap();

    assert!(!storage.forget(&session("home", "1")).unwrap());

    assert_eq!(storage.session(), Some(&session("home", "2")));
}

#[test]
fn a_mistyped_address_takes_no_accounts_key_and_a_new_account_takes_the_oldest() {
    let mut storage = Storage::in_memory();
    let has_key = |storage: &Storage, account: u8| {
        let key = storage.device_key_of(&format!("{account}@example.com"));
        key.unwrap().is_some()
    };
    for account in 1..=20 {
        let session = session(&account.to_string(), "1");
        storage.begin(session, Some(&key(1))).unwrap();
    }

    storage.store_key("mistyped@example.com", &key(2)).unwrap();
    storage.remove_key("mistyped@example.com").unwrap();

    assert!((1..=20).all(|account| has_key(&storage, account)));
    storage.begin(session("21", "1"), Some(&key(2))).unwrap();
    assert!(!has_key(&storage, 1));
    assert!((2..=21).all(|account| has_key(&storage, account)));
}
