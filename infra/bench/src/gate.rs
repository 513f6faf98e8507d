//! Whether instructions and sizes are within `infra/bench/limits.toml`. Nothing
//! here depends on time, so nothing depends on what else the machine does.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, Result, bail};
use curfew::root;
use serde::Deserialize;

use crate::callgrind;
use crate::programs::Builder;
use crate::report::Table;
use crate::requests::World;
use crate::{start, work};

/// The limits as they are written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    /// By how much of it a count of instructions may pass its limit.
    tolerance: f64,
    /// By function.
    functions: BTreeMap<String, Limit>,
}

/// The limits of one function.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Limit {
    /// Instructions from the start to the first answer.
    start: u64,
    /// Instructions of a warm request.
    request: u64,
    /// Bytes of the program.
    binary: u64,
    /// Bytes of the archive that it is deployed as.
    zip: u64,
}

/// Builds the functions that have limits, and fails if one is passed.
///
/// # Errors
/// When a limit is passed, or can't be looked at.
pub async fn run(builder: &Builder) -> Result<()> {
    callgrind::required().await?;
    let limits = limits()?;
    let names: Vec<String> = limits.functions.keys().cloned().collect();
    let programs = builder.functions(&names).await?;
    let world = Box::pin(World::new()).await?;
    let mut table = Table::new("Limits", &["what", "found", "limit", "used"]);
    let mut passed = Vec::new();
    for program in &programs {
        eprintln!("Counting: {}", program.name);
        let limit = &limits.functions[&program.name];
        let request = world.request(&program.name);
        let request = request.with_context(|| format!("{} has no request", program.name))?;
        let warm = work::instructions(&world, program, &request).await?;
        let start = start::instructions(program).await?;
        let (binary, zip) = start::sizes(program)?;
        for (what, found, limit, tolerance) in [
            ("start", start, limit.start, limits.tolerance),
            (request.what, warm, limit.request, limits.tolerance),
            ("binary", binary, limit.binary, 0.0),
            ("zip", zip, limit.zip, 0.0),
        ] {
            let what = format!("{}: {what}", program.name);
            let used = ratio(found, limit);
            table.row([
                what.clone(),
                found.to_string(),
                limit.to_string(),
                format!("{:.0} %", used * 100.0),
            ]);
            if used > 1.0 + tolerance {
                passed.push(what);
            }
        }
    }
    println!("{}", table.markdown());
    if !passed.is_empty() {
        bail!(
            "past the limits of infra/bench/limits.toml: {}",
            passed.join(", ")
        );
    }
    Ok(())
}

fn limits() -> Result<Limits> {
    let file = root().join("infra/bench/limits.toml");
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    toml::from_str(&text).context("infra/bench/limits.toml")
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn ratio(found: u64, limit: u64) -> f64 {
    found as f64 / limit as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::programs::all_functions;

    #[test]
    fn every_limit_is_one_of_a_function() {
        let limits = limits().unwrap();
        let functions = all_functions().unwrap();
        for name in limits.functions.keys() {
            assert!(functions.contains(name), "{name}");
        }
    }
}
