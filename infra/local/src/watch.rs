//! Hot reload: `cargo lambda watch` serves the HTTP functions on the routes of the
//! deployed template and the tables of the running stack. The deployed functions
//! still serve sockets, streams and queues.
//!
//! There is no gateway and there are no roles. The source address is always
//! 127.0.0.1, every function runs with the root key, and introspection rejects
//! every caller, because it relies on the gateway to authenticate them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::deploy::Deployed;
use crate::emulator::point;
use crate::functions::cargo_lambda;
use crate::process::{Tether, Tethered};
use crate::proxy::Upstream;
use crate::record::{Aws, Function};

/// The time in which it has to listen. It builds nothing before the first request.
const TIMEOUT: Duration = Duration::from_mins(1);

/// The HTTP functions under `cargo lambda watch`.
#[derive(Debug)]
pub struct Watch {
    process: Tethered,
    address: SocketAddr,
}

impl Watch {
    /// Starts to serve by the settings of [`router`]. A function is built when it is first
    /// called.
    ///
    /// # Errors
    /// When `cargo lambda watch` does not start.
    pub async fn start(
        tether: &Tether,
        aws: &Aws,
        deployed: &Deployed,
        router: &str,
        state: &Path,
    ) -> Result<Self> {
        let address = free_address()?;
        let settings = state.join("watch.toml");
        fs::write(&settings, router)?;
        let mut command = cargo_lambda(tether)?;
        command
            .args(["watch", "--disable-cors", "--invoke-address", "127.0.0.1"])
            .arg("--global")
            .arg(settings)
            .args(["--invoke-port", &address.port().to_string()])
            // Building a function for the first time takes longer than the
            // default of a few seconds.
            .args(["--timeout", "600"])
            .envs(environment(&deployed.functions)?);
        point(&mut command, aws);
        let mut process = Tethered::start(command)?;
        let listening = async {
            while TcpStream::connect(address).await.is_err() {
                sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            ended = process.ended() => bail!("cargo lambda watch ended: {}", ended?),
            up = timeout(TIMEOUT, listening) => up.context("cargo lambda watch did not listen in time")?,
        }
        Ok(Self { process, address })
    }

    /// Returns where it serves the API.
    #[must_use]
    pub fn upstream(&self) -> Upstream {
        Upstream {
            authority: self.address.to_string(),
            prefix: String::new(),
        }
    }

    /// Waits until it ends by itself, which is a fault.
    ///
    /// # Errors
    /// When the operating system can't report it.
    pub async fn ended(&mut self) -> Result<()> {
        self.process.ended().await.map(|_| ())
    }
}

/// The methods of routes.
const METHODS: [&str; 7] = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];

/// Returns the routes as settings of `cargo lambda watch`. It falls back to another
/// path but not to another method, so each path names the function of `$default`
/// for every method that has no route.
///
/// # Errors
/// When there is no `$default` route.
pub fn router(routes: &BTreeMap<String, String>) -> Result<String> {
    let default = routes
        .get("$default")
        .context("the template has no $default route")?;
    let mut paths: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    for (key, function) in routes {
        if let Some((method, path)) = key.split_once(' ') {
            paths.entry(path).or_default().insert(method, function);
        }
    }
    let default = binary(default);
    let mut settings = format!("[watch.router]\n\"/{{*path}}\" = \"{default}\"\n");
    paths.entry("/").or_default();
    for (path, functions) in paths {
        // `{proxy+}` of the gateway is `{*proxy}` here.
        let path = path.replace("{proxy+}", "{*proxy}");
        writeln!(settings, "\"{path}\" = [")?;
        for method in METHODS {
            let function = functions
                .get(method)
                .map_or_else(|| default.clone(), |it| binary(it));
            writeln!(
                settings,
                "  {{ method = \"{method}\", function = \"{function}\" }},"
            )?;
        }
        writeln!(settings, "]")?;
    }
    Ok(settings)
}

/// Returns the name of a function's binary: `sign-out-device` for the logical id
/// `SignOutDevice`.
fn binary(logical_id: &str) -> String {
    let mut name = String::new();
    for letter in logical_id.chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

/// Returns the variables of all functions together: `cargo lambda watch` gives every
/// function the same ones. An empty value counts as unset.
fn environment(functions: &BTreeMap<String, Function>) -> Result<BTreeMap<&str, &str>> {
    let mut all: BTreeMap<&str, &str> = BTreeMap::new();
    for (logical_id, function) in functions {
        for (name, value) in &function.environment {
            let known = all.entry(name).or_default();
            if known.is_empty() {
                *known = value;
            } else if !value.is_empty() && known != value {
                bail!("{name} differs between {logical_id} and another function");
            }
        }
    }
    Ok(all)
}

/// Returns an address that no process listens on.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{environment, router};
    use crate::record::Function;

    /// Returns functions that have one variable each, with these values.
    fn functions(values: &[&str]) -> BTreeMap<String, Function> {
        let function = |value: &str| Function {
            function_name: String::new(),
            role_arn: String::new(),
            environment: [("ISSUER".to_owned(), value.to_owned())].into(),
        };
        let values = values.iter().enumerate();
        values
            .map(|(number, value)| (number.to_string(), function(value)))
            .collect()
    }

    #[test]
    fn an_empty_variable_counts_as_unset() {
        for values in [["", "a"], ["a", ""], ["a", "a"]] {
            let functions = functions(&values);

            let all = environment(&functions).unwrap();

            assert_eq!(all["ISSUER"], "a", "{values:?}");
        }
        assert_eq!(environment(&functions(&["", ""])).unwrap()["ISSUER"], "");
    }

    #[test]
    fn variables_that_differ_are_named() {
        let functions = functions(&["a", "b"]);

        let error = environment(&functions).unwrap_err();

        assert!(error.to_string().contains("ISSUER"), "{error}");
    }

    #[test]
    fn a_method_without_a_route_goes_to_the_default() {
        let routes = [("$default", "Api"), ("POST /v1/sign-out", "SignOutDevice")];
        let routes = routes.map(|(key, function)| (key.to_owned(), function.to_owned()));

        let settings = router(&routes.into()).unwrap();

        assert!(settings.contains("\"/{*path}\" = \"api\"\n"));
        assert!(settings.contains("\"/v1/sign-out\" = ["));
        assert!(settings.contains("{ method = \"POST\", function = \"sign-out-device\" }"));
        assert!(settings.contains("{ method = \"GET\", function = \"api\" }"));
    }
}
