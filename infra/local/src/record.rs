//! The description of a running stack: what `stack.json` holds.

use std::collections::BTreeMap;
use std::path::PathBuf;

use aws_credential_types::Credentials;
use runtime::{Clients, RetryPolicy};
use serde::{Deserialize, Serialize};

/// A running stack, as `stack.json` describes it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Record {
    /// The address of the API, without a trailing slash.
    pub api_url: String,
    /// The address at which devices open their socket.
    pub socket_url: String,
    /// The address of the example API, without a trailing slash.
    pub example_url: String,
    /// The local AWS.
    pub aws: Aws,
    /// The names of the tables.
    pub tables: Tables,
    /// The topic that events are published to.
    pub topic_arn: String,
    /// The address at which every mail that was sent can be read.
    pub mails_url: String,
    /// An account to sign in to.
    pub demo: Demo,
    /// The key of an adopter's own service.
    pub service: Service,
    /// The folder of the logs: `<function>.log` each.
    pub logs: PathBuf,
    /// The functions by their logical id in the template.
    pub functions: BTreeMap<String, Function>,
    /// The outputs of the template.
    pub outputs: BTreeMap<String, String>,
    /// The physical id of each resource, by its logical id.
    pub resources: BTreeMap<String, String>,
    /// Set if `cargo lambda watch` serves the HTTP functions. It is not a gateway:
    /// every request has the source address 127.0.0.1.
    #[serde(default)]
    pub watch: bool,
}

impl Record {
    /// Returns the environment of a service, as commands for a shell. The local AWS
    /// makes no key with a quote in it.
    #[must_use]
    pub fn service_environment(&self) -> String {
        let Self { aws, service, .. } = self;
        [
            ("CURFEW_API", &self.api_url),
            ("TOPIC_ARN", &self.topic_arn),
            ("AWS_ENDPOINT_URL", &aws.endpoint_url),
            ("AWS_REGION", &aws.region),
            // boto3 reads no other name.
            ("AWS_DEFAULT_REGION", &aws.region),
            ("AWS_ACCESS_KEY_ID", &service.access_key_id),
            ("AWS_SECRET_ACCESS_KEY", &service.secret_access_key),
            ("AWS_SESSION_TOKEN", &service.session_token),
        ]
        .map(|(name, value)| format!("export {name}='{value}'\n"))
        .concat()
    }
}

impl Record {
    /// Returns the address of the page.
    #[must_use]
    pub fn page_url(&self) -> String {
        page_url(&self.api_url)
    }
}

/// Returns the address of the page of an API. Browsers keep secure cookies without TLS for
/// this name; Safari does not.
pub(crate) fn page_url(api_url: &str) -> String {
    api_url.replace("127.0.0.1", "localhost") + "/"
}

/// The address and the root key of the local AWS.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Aws {
    /// The address of every service.
    pub endpoint_url: String,
    /// The Region of every resource.
    pub region: String,
    /// The id of the root key.
    pub access_key_id: String,
    /// The secret of the root key. It protects nothing.
    pub secret_access_key: String,
}

impl Aws {
    /// Returns clients of the services, with the root key.
    #[must_use]
    pub fn clients(&self) -> Clients {
        let Self {
            access_key_id,
            secret_access_key,
            ..
        } = self;
        Clients::new(
            self.region.clone(),
            Credentials::new(access_key_id, secret_access_key, None, None, "stack.json"),
            Some(self.endpoint_url.clone()),
            aws_smithy_http_client::Builder::new().build_http(),
            RetryPolicy::Standard,
        )
    }
}

/// The names of the tables.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Tables {
    /// Accounts.
    pub accounts: String,
    /// E-mail addresses.
    pub identities: String,
    /// Devices.
    pub devices: String,
    /// Sign-outs.
    pub receipts: String,
    /// Open sockets.
    pub connections: String,
    /// Tickets for sockets.
    pub tickets: String,
    /// Counters of attempts.
    pub attempts: String,
    /// Notices to owners.
    pub notices: String,
    /// Codes and links in mails.
    pub challenges: String,
    /// Factors.
    pub factors: String,
}

impl From<Tables> for store::Tables {
    fn from(tables: Tables) -> Self {
        Self {
            accounts: tables.accounts,
            identities: tables.identities,
            devices: tables.devices,
            receipts: tables.receipts,
            connections: tables.connections,
            tickets: tables.tickets,
            attempts: tables.attempts,
            notices: tables.notices,
            challenges: tables.challenges,
            factors: tables.factors,
        }
    }
}

/// The demo account.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Demo {
    /// Its e-mail address.
    pub email: String,
    /// Its password, a new one at each start.
    pub password: String,
}

/// A key of the role `ServiceRole` of `infra/example/template.yaml`, which may
/// introspect, and nothing else. It is valid for twelve hours.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Service {
    /// The id of the key.
    pub access_key_id: String,
    /// The secret of the key.
    pub secret_access_key: String,
    /// The token of the key's session.
    pub session_token: String,
}

/// A deployed function.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Function {
    /// Its name in the local AWS.
    pub function_name: String,
    /// The role that it runs in.
    pub role_arn: String,
    /// Its environment variables.
    pub environment: BTreeMap<String, String>,
}
