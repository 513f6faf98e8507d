//! Makes the lists of leaked passwords and of words that are compiled into the
//! functions which hash: `shared/domain/src/password/lists/README.md`.

mod make;

use std::path::Path;
use std::{env, fs};

fn main() -> make::Result<()> {
    let programs = make::Programs {
        python: Path::new("python3"),
        npm: Path::new("npm"),
    };
    let folder = env::temp_dir().join("password-lists");
    fs::write(make::FILE, make::make(&programs, &folder, |_| true)?)?;
    Ok(())
}
