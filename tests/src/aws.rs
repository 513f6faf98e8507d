//! Signed calls to the local AWS, as its root user or in the role of a function: for
//! checks of permissions, queues and rows.

use std::fmt::Write as _;
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use curfew_client::Api;
use runtime::Clock;
use serde_json::Value;

use crate::stack;

/// A call to an AWS service.
#[derive(Debug, Clone)]
pub struct Call {
    service: &'static str,
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Call {
    fn json(
        service: &'static str,
        version: &'static str,
        target: &str,
        action: &str,
        body: &Value,
    ) -> Self {
        Self {
            service,
            method: "POST",
            path: "/".to_owned(),
            headers: vec![
                ("content-type", format!("application/x-amz-json-{version}")),
                ("x-amz-target", format!("{target}.{action}")),
            ],
            body: body.to_string(),
        }
    }

    /// Returns a call to DynamoDB.
    #[must_use]
    pub fn dynamodb(action: &str, body: &Value) -> Self {
        Self::json("dynamodb", "1.0", "DynamoDB_20120810", action, body)
    }

    /// Returns a call to DynamoDB's streams.
    #[must_use]
    pub fn streams(action: &str, body: &Value) -> Self {
        Self::json("dynamodb", "1.0", "DynamoDBStreams_20120810", action, body)
    }

    /// Returns a call to SQS.
    #[must_use]
    pub fn sqs(action: &str, body: &Value) -> Self {
        Self::json("sqs", "1.0", "AmazonSQS", action, body)
    }

    /// Returns a call to Secrets Manager.
    #[must_use]
    pub fn secrets(action: &str, body: &Value) -> Self {
        Self::json("secretsmanager", "1.1", "secretsmanager", action, body)
    }

    /// Returns a call to KMS.
    #[must_use]
    pub fn kms(action: &str, body: &Value) -> Self {
        Self::json("kms", "1.1", "TrentService", action, body)
    }

    /// Returns a call to Systems Manager.
    #[must_use]
    pub fn ssm(action: &str, body: &Value) -> Self {
        Self::json("ssm", "1.1", "AmazonSSM", action, body)
    }

    /// Returns a call to CloudWatch Logs.
    #[must_use]
    pub fn logs(action: &str, body: &Value) -> Self {
        Self::json("logs", "1.1", "Logs_20140328", action, body)
    }

    /// Returns a call to a service that accepts forms: SNS, IAM, STS.
    #[must_use]
    pub fn form(service: &'static str, version: &str, fields: &[(&str, &str)]) -> Self {
        let mut body = format!("Version={version}");
        for (name, value) in fields {
            body.push('&');
            body.push_str(name);
            body.push('=');
            for byte in value.bytes() {
                if byte.is_ascii_alphanumeric() {
                    body.push(char::from(byte));
                } else {
                    let _ = write!(body, "%{byte:02X}");
                }
            }
        }
        Self::posted(service, "/", body)
    }

    /// Returns a call that posts a form to a path.
    #[must_use]
    pub fn posted(service: &'static str, path: &str, body: String) -> Self {
        Self {
            service,
            method: "POST",
            path: path.to_owned(),
            headers: vec![(
                "content-type",
                "application/x-www-form-urlencoded".to_owned(),
            )],
            body,
        }
    }

    /// Returns a call to a service with paths and methods: S3, Lambda.
    #[must_use]
    pub fn rest(service: &'static str, method: &'static str, path: &str, body: &str) -> Self {
        Self {
            service,
            method,
            path: path.to_owned(),
            headers: Vec::new(),
            body: body.to_owned(),
        }
    }
}

/// The answer to a call.
#[derive(Debug, Clone)]
pub struct AwsResponse {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub text: String,
}

impl AwsResponse {
    /// Returns whether a policy denied the call.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        // Most services answer AccessDenied or AccessDeniedException, SNS
        // AuthorizationError.
        let codes = ["AccessDenied", "AuthorizationError", "not authorized"];
        self.status >= 400 && codes.iter().any(|code| self.text.contains(code))
    }

    /// Returns the JSON of a successful answer.
    ///
    /// # Errors
    /// When the call failed, or the answer is not JSON.
    pub fn success(&self) -> Result<Value> {
        ensure!(self.status == 200, "{} {}", self.status, self.text);
        serde_json::from_str(&self.text).context("a success without JSON")
    }

    /// Returns the text of the only XML element with a name.
    ///
    /// # Errors
    /// When the call failed, or there is no such element.
    pub fn element(&self, name: &str) -> Result<String> {
        ensure!(self.status == 200, "{} {}", self.status, self.text);
        let inner = || {
            let (_, rest) = self.text.split_once(&format!("<{name}>"))?;
            let (inner, _) = rest.split_once(&format!("</{name}>"))?;
            Some(inner.to_owned())
        };
        inner().with_context(|| format!("the answer has no {name}"))
    }
}

/// The caller of AWS.
#[derive(Debug, Clone)]
pub struct Principal {
    credentials: Credentials,
    api: Api,
}

impl Principal {
    /// Returns the root user of the local AWS.
    #[must_use]
    pub fn root() -> Self {
        let aws = &stack::stack().aws;
        Self::new(Credentials::new(
            &aws.access_key_id,
            &aws.secret_access_key,
            None,
            None,
            "root",
        ))
    }

    /// Returns the role of a function, which its logical id names.
    ///
    /// # Errors
    /// When there is no such function, or its role can not be assumed.
    pub async fn of(function: &str) -> Result<Self> {
        let functions = &stack::stack().functions;
        let facts = functions.get(function);
        let facts = facts.with_context(|| format!("the template has no function {function}"))?;
        let fields = [
            ("Action", "AssumeRole"),
            ("RoleArn", &*facts.role_arn),
            ("RoleSessionName", "test"),
        ];
        let call = Call::form("sts", "2011-06-15", &fields);
        let keys = Self::root().call(&call).await?;
        Ok(Self::new(Credentials::new(
            keys.element("AccessKeyId")?,
            keys.element("SecretAccessKey")?,
            Some(keys.element("SessionToken")?),
            None,
            "role",
        )))
    }

    /// Returns the user with a key, or the role with one that has a session token.
    #[must_use]
    pub fn with_key(id: &str, secret: &str, session_token: Option<&str>) -> Self {
        let session_token = session_token.map(str::to_owned);
        Self::new(Credentials::new(id, secret, session_token, None, "key"))
    }

    fn new(credentials: Credentials) -> Self {
        let api = Api::new(&stack::stack().aws.endpoint_url).expect("an address");
        Self {
            credentials,
            api: api.with_timeout(crate::client::TIMEOUT),
        }
    }

    /// Makes a call.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn call(&self, call: &Call) -> Result<AwsResponse> {
        self.call_at(&stack::stack().aws.endpoint_url, call).await
    }

    /// Makes a call to another address, such as that of an API.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn call_at(&self, address: &str, call: &Call) -> Result<AwsResponse> {
        let aws = &stack::stack().aws;
        let url = format!("{address}{}", call.path);
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let identity = self.credentials.clone().into();
        let now: SystemTime = Clock::System.now().into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&aws.region)
            .name(call.service)
            .time(now)
            .settings(settings)
            .build()?
            .into();
        let headers = call.headers.iter().map(|(name, value)| (*name, &**value));
        let body = SignableBody::Bytes(call.body.as_bytes());
        let signable = SignableRequest::new(call.method, &url, headers, body)?;
        let (signed, _) = sign(signable, &parameters)?.into_parts();
        let api = self.api.at(address)?;
        let mut request = api.call(call.method.parse()?, &call.path);
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        for (name, value) in signed.headers() {
            request = request.header(name, value);
        }
        let answer = request.body(call.body.clone()).send().await?;
        Ok(AwsResponse {
            status: answer.status,
            text: answer.text(),
        })
    }
}
