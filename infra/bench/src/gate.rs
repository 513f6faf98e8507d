//! Checks instructions and sizes against `infra/bench/limits.toml`.
//!
//! The counts don't depend on time. But a function under callgrind is slow, and its calls
//! time out on a busy machine: nothing else should run.

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

/// `limits.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    /// The part of a limit by which a count of instructions may exceed it.
    tolerance: f64,
    functions: BTreeMap<String, Limit>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Limit {
    /// Instructions from the start to the first answer.
    start: u64,
    /// Instructions of a warm request.
    request: u64,
    /// Bytes of the program.
    binary: u64,
    /// Bytes of the archive that is deployed.
    zip: u64,
}

/// Builds the functions that have limits, and counts. Fails if a limit is exceeded.
pub async fn run(builder: &Builder) -> Result<()> {
    callgrind::required().await?;
    let limits = limits()?;
    let names: Vec<String> = limits.functions.keys().cloned().collect();
    let programs = builder.functions(&names).await?;
    let world = Box::pin(World::new()).await?;
    let mut table = Table::new("Limits", &["what", "found", "limit", "used"]);
    let mut exceeded = Vec::new();
    for program in &programs {
        eprintln!("gate: counting {} …", program.name);
        let limit = &limits.functions[&program.name];
        let request = world.request(&program.name)?;
        let warm = work::instructions(&world, program, &request).await?;
        let start = start::instructions(program).await?;
        let (binary, zip) = start::sizes(program)?;
        for (what, found, limit, tolerance) in [
            ("start", start, limit.start, limits.tolerance),
            (&request.what, warm, limit.request, limits.tolerance),
            ("binary", binary, limit.binary, 0.0),
            ("zip", zip, limit.zip, 0.0),
        ] {
            let what = format!("{}: {what}", program.name);
            let used = ratio(found, limit);
            let percent = format!("{:.0} %", used * 100.0);
            table.row([what.clone(), found.to_string(), limit.to_string(), percent]);
            if used > 1.0 + tolerance {
                exceeded.push(what);
            }
        }
    }
    println!("{}", table.markdown());
    if !exceeded.is_empty() {
        let exceeded = exceeded.join(", ");
        bail!("limits of infra/bench/limits.toml are exceeded: {exceeded}");
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
