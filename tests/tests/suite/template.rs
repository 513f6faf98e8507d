//! `template.yaml` against the code, and the facts that must always hold for it. What
//! the local AWS ignores of a template is checked here.

mod events;
mod gateways;
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::OnceLock;

use curfew::root;
use curfew_tests::template;
use serde_json::{Value, json};

/// Returns the template.
fn whole() -> &'static Value {
    static TEMPLATE: OnceLock<Value> = OnceLock::new();
    TEMPLATE.get_or_init(|| template::read().unwrap())
}

/// Returns the resources of a type, by their logical ids.
fn resources(kind: &str) -> BTreeMap<&'static str, &'static Value> {
    template::resources(whole(), kind).into_iter().collect()
}

/// Returns the properties of the functions, by their logical ids.
fn functions() -> BTreeMap<&'static str, &'static Value> {
    let functions = resources("AWS::Serverless::Function").into_iter();
    functions
        .map(|(name, resource)| (name, &resource["Properties"]))
        .collect()
}

/// Returns a property of a function, or that of the template's globals.
fn setting<'a>(function: &'a Value, name: &str) -> &'a Value {
    match &function[name] {
        Value::Null => &whole()["Globals"]["Function"][name],
        own => own,
    }
}

/// Returns the events of a type, each with its function and properties.
fn events(kind: &str) -> Vec<(&'static str, &'static Value)> {
    let mut found = Vec::new();
    for (function, properties) in functions() {
        for event in properties["Events"].as_object().into_iter().flatten() {
            if event.1["Type"] == kind {
                found.push((function, &event.1["Properties"]));
            }
        }
    }
    found
}

/// Returns the logical id of the resource that a value refers to.
fn referred(value: &Value) -> &str {
    let attribute = value["Fn::GetAtt"][0].as_str();
    attribute.or(value["Ref"].as_str()).unwrap_or_default()
}

/// Returns the folders of the functions.
fn folders() -> BTreeSet<String> {
    fs::read_dir(root().join("functions"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// Returns the logical id of a folder such as `sign-out-device`.
fn pascal_case(folder: &str) -> String {
    let capitalised = |word: &str| word[..1].to_uppercase() + &word[1..];
    folder.split('-').map(capitalised).collect()
}

/// Calls a function with every value within a value, and its path.
fn walk(value: &Value, path: &str, look: &mut impl FnMut(&str, &Value)) {
    look(path, value);
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(item, &format!("{path}[{index}]"), look);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                walk(member, &format!("{path}.{name}"), look);
            }
        }
        _ => {}
    }
}

#[test]
fn every_folder_of_functions_is_in_the_template_once_under_its_name() {
    let in_template: Vec<(String, String)> = functions()
        .iter()
        .map(|(name, properties)| {
            let code = properties["CodeUri"].as_str().unwrap().to_owned();
            ((*name).to_owned(), code)
        })
        .collect();

    let mut wanted: Vec<(String, String)> = folders()
        .iter()
        .map(|folder| (pascal_case(folder), format!("functions/{folder}/")))
        .collect();
    wanted.sort();
    assert_eq!(in_template, wanted);
}

#[test]
fn every_function_is_one_package_of_the_folders_name() {
    for folder in folders() {
        let manifest = root().join(format!("functions/{folder}/Cargo.toml"));
        let manifest = fs::read_to_string(manifest).unwrap();

        assert!(
            manifest.contains(&format!("name = \"{folder}\"\n")),
            "{folder}"
        );
        let function = &resources("AWS::Serverless::Function")[&*pascal_case(&folder)];
        assert_eq!(function["Metadata"]["BuildMethod"], "rust-cargolambda");
    }
}

#[test]
fn every_function_has_the_custom_runtime_and_the_architecture_of_the_parameter() {
    for (name, function) in functions() {
        assert_eq!(setting(function, "Runtime"), "provided.al2023", "{name}");
        let architectures = setting(function, "Architectures");
        assert_eq!(architectures, &json!([{ "Ref": "Architecture" }]), "{name}");
    }
    assert_eq!(whole()["Parameters"]["Architecture"]["Default"], "arm64");
}

#[test]
fn every_function_has_its_own_role_and_log() {
    let mut roles = BTreeSet::new();
    let mut logs = BTreeSet::new();
    for (name, function) in functions() {
        let role = referred(&function["Role"]);
        assert_eq!(role, format!("{name}Access"));
        assert!(roles.insert(role), "{role} is shared");
        assert!(
            function.get("Policies").is_none(),
            "SAM adds managed policies to those of {name}"
        );

        let log = referred(&function["LoggingConfig"]["LogGroup"]);
        assert_eq!(log, format!("{name}Log"));
        assert!(logs.insert(log), "{log} is shared");
        let group = resources("AWS::Logs::LogGroup")[log];
        assert_eq!(
            group["Properties"]["RetentionInDays"],
            json!({ "Ref": "LogRetentionDays" }),
            "{log}"
        );
    }
    let all: BTreeSet<&str> = resources("AWS::IAM::Role").into_keys().collect();
    assert_eq!(all, roles, "a role without a function");
}

#[test]
fn every_role_trusts_only_lambda_and_has_no_managed_policy() {
    for (name, role) in resources("AWS::IAM::Role") {
        let properties = &role["Properties"];
        assert!(properties.get("ManagedPolicyArns").is_none(), "{name}");
        let trust = &properties["AssumeRolePolicyDocument"]["Statement"];
        let lambda = json!([{
            "Effect": "Allow",
            "Principal": { "Service": "lambda.amazonaws.com" },
            "Action": "sts:AssumeRole",
        }]);
        assert_eq!(trust, &lambda, "{name}");
    }
    assert!(resources("AWS::IAM::Policy").is_empty());
    assert!(resources("AWS::IAM::ManagedPolicy").is_empty());
}

/// Returns the ARN of the secret that a parameter names.
fn secret_arn(parameter: &str) -> String {
    let account = "arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}";
    format!("{account}:secret:${{{parameter}}}-??????")
}

#[test]
fn no_policy_has_a_wildcard() {
    // Lambda chooses the names of S3 objects, the gateway those of connections, and
    // Secrets Manager the last six characters of a secret's ARN, so these end in a
    // wildcard.
    let socket =
        "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${SocketApi}/v1";
    let named_by_others = [
        "${UnpublishedBatches.Arn}/*".to_owned(),
        format!("{socket}/POST/@connections/*"),
        format!("{socket}/DELETE/@connections/*"),
        secret_arn("DistributionSecret"),
        secret_arn("PepperSecret"),
    ];
    let mut wildcards = Vec::new();
    let mut statements = 0;

    walk(&whole()["Resources"], "", &mut |path, value| {
        if value.get("Effect").is_some() {
            statements += 1;
            for not in ["NotAction", "NotResource", "NotPrincipal"] {
                assert!(value.get(not).is_none(), "{not} in {path}");
            }
        }
        let text = value.as_str().unwrap_or_default();
        if !path.contains("Polic") || !text.contains(['*', '?']) {
            return;
        }
        // In a key's own policy, `*` is that key, and the account must be able to manage it.
        if path.starts_with(".FactorsKey.Properties.KeyPolicy.") {
            return;
        }
        if path.ends_with(".Resource.Fn::Sub") && named_by_others.iter().any(|arn| arn == text) {
            return;
        }
        wildcards.push(format!("{path}: {text}"));
    });

    assert!(statements > 90, "too few policies were checked");
    assert_eq!(wildcards, [] as [String; 0]);
}

#[test]
fn every_role_writes_only_to_the_log_of_its_function() {
    for (role, resource) in resources("AWS::IAM::Role") {
        let mut logs = Vec::new();
        walk(&resource["Properties"]["Policies"], "", &mut |_, value| {
            if value["Action"].to_string().contains("\"logs:") {
                logs.push(value.clone());
            }
        });

        let log = format!("{}Log", role.strip_suffix("Access").unwrap());
        let own = json!({
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": { "Fn::GetAtt": [log, "Arn"] },
        });
        assert_eq!(logs, [own], "{role}");
    }
}

#[test]
fn only_publish_revocations_reads_the_streams() {
    let mut readers = BTreeSet::new();
    for (role, resource) in resources("AWS::IAM::Role") {
        walk(&resource["Properties"]["Policies"], "", &mut |_, value| {
            let attribute = &value["Resource"]["Fn::GetAtt"];
            if attribute[1] == "StreamArn" {
                let actions = [
                    "dynamodb:DescribeStream",
                    "dynamodb:GetRecords",
                    "dynamodb:GetShardIterator",
                    "dynamodb:ListStreams",
                ];
                assert_eq!(value["Action"], json!(actions), "{role}");
                readers.insert(format!("{role}: {}", attribute[0]));
            }
        });
    }

    let wanted = [
        "PublishRevocationsAccess: \"Devices\"",
        "PublishRevocationsAccess: \"Receipts\"",
    ];
    assert_eq!(readers, wanted.map(str::to_owned).into());
}

#[test]
fn functions_that_hash_sign_out_or_publish_have_reserved_concurrency() {
    let reserved: BTreeMap<&str, &Value> = functions()
        .iter()
        .filter_map(|(name, function)| {
            let reserved = function.get("ReservedConcurrentExecutions")?;
            Some((*name, &reserved["Fn::If"][1]["Ref"]))
        })
        .collect();

    let wanted = [
        ("Register", "HashingConcurrency"),
        ("Login", "HashingConcurrency"),
        ("ChangePassword", "HashingConcurrency"),
        ("Verify", "HashingConcurrency"),
        ("ConfirmCodes", "HashingConcurrency"),
        ("SignOutDevice", "SignOutConcurrency"),
        ("SignOutAll", "SignOutConcurrency"),
        ("PublishRevocations", "PublishConcurrency"),
    ];
    for (name, parameter) in wanted {
        assert_eq!(reserved[name], parameter);
    }
    assert_eq!(reserved.len(), wanted.len());
}

/// Returns the variables that a function reads, each with whether the template must set
/// it. Settings with a default must be set, too, or a parameter would have no effect.
fn variables_read(folder: &str) -> BTreeMap<String, bool> {
    let source = |file: &str| {
        let path = root().join(format!("functions/{folder}/src/{file}"));
        fs::read_to_string(path).unwrap()
    };
    let main = source("main.rs");
    let mut read: BTreeMap<String, bool> = main
        .split('"')
        .skip(1)
        .step_by(2)
        .filter(|text| {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
        })
        .map(|name| (name.to_owned(), true))
        .collect();
    if main.contains("runtime::limits()") {
        for name in [
            "SESSION_IDLE_DAYS",
            "SESSION_ABSOLUTE_DAYS",
            "RECEIPT_RETENTION_DAYS",
        ] {
            read.insert(name.to_owned(), true);
        }
    }
    if main.contains("runtime::uncounted_networks()") {
        read.insert("UNCOUNTED_NETWORKS".to_owned(), true);
    }
    if main.contains("runtime::password_rules()") {
        read.insert("PASSWORD_MIN_LENGTH".to_owned(), true);
    }
    if main.contains("runtime::password_hasher()") {
        read.insert("PEPPER_SECRET".to_owned(), true);
    }
    if main.contains("runtime::sign_in_budgets()") {
        for name in [
            "ADDRESS_BUDGET",
            "DEVICE_BUDGET",
            "MOST_FAILURES",
            "NETWORK_BUDGET",
            "UNCOUNTED_NETWORKS",
        ] {
            read.insert(name.to_owned(), true);
        }
        read.insert("MAIL_FROM".to_owned(), false);
    }
    if main.contains("runtime::product()") {
        read.insert("PAGE_CONFIG".to_owned(), true);
    }
    if main.contains("runtime::allowed_origins()") {
        read.insert("ALLOWED_ORIGINS".to_owned(), true);
    }
    if main.contains("runtime::sign_in_codes()") {
        read.insert("SIGN_IN_CODES".to_owned(), true);
    }
    if main.contains("runtime::verification_policy()") {
        read.insert("MAIL_FROM".to_owned(), true);
        read.insert("EXTERNAL_VERIFICATION".to_owned(), false);
    }
    if main.contains("runtime::unproven_sign_outs()") {
        read.insert("UNPROVEN_SIGN_OUTS".to_owned(), true);
    }
    if main.contains("runtime::external_verification()") {
        read.insert("EXTERNAL_VERIFICATION".to_owned(), false);
    }
    if main.contains("runtime::origin_policy()") {
        for name in [
            "ALLOWED_ORIGINS",
            "DISTRIBUTION_SECRET",
            "REQUIRE_DISTRIBUTION",
        ] {
            read.insert(name.to_owned(), true);
        }
    }
    read
}

/// Returns whether a function shows where a request came from.
fn shows_places(folder: &str) -> bool {
    let sources = fs::read_dir(root().join(format!("functions/{folder}/src"))).unwrap();
    sources
        .map(|file| file.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| fs::read_to_string(path).unwrap())
        // What a code is counted for is the network of who asks. A new session shows its place.
        .any(|source| {
            [".place()", "Codes::new(", "SignIn {"]
                .iter()
                .any(|use_of| source.contains(use_of))
        })
}

/// Returns the conditions under which the role of a function may read the secret that a
/// parameter names. All that it may do with it is to read its value.
fn conditions_of_reading(folder: &str, parameter: &str) -> Vec<Value> {
    let access = format!("{}Access", pascal_case(folder));
    let mut conditions = Vec::new();
    let policies = &resources("AWS::IAM::Role")[&*access]["Properties"]["Policies"];
    walk(policies, "", &mut |_, value| {
        let choice = &value["Fn::If"];
        let statement = &choice[1];
        if statement["Resource"]["Fn::Sub"] == secret_arn(parameter) {
            assert_eq!(statement["Action"], "secretsmanager:GetSecretValue");
            assert_eq!(choice[2], json!({ "Ref": "AWS::NoValue" }));
            conditions.push(choice[0].clone());
        }
    });
    conditions
}

#[test]
fn only_functions_that_hash_can_read_the_peppers_and_only_if_there_are_some() {
    let mut hashing = BTreeSet::new();
    for folder in folders() {
        let wanted = if variables_read(&folder).contains_key("PEPPER_SECRET") {
            hashing.insert(folder.clone());
            vec![json!("HasPepperSecret")]
        } else {
            vec![]
        };
        let conditions = conditions_of_reading(&folder, "PepperSecret");
        assert_eq!(conditions, wanted, "{folder}");
    }
    let all = [
        "change-password",
        "confirm-codes",
        "login",
        "register",
        "verify",
    ];
    assert_eq!(hashing, all.map(str::to_owned).into());
    let is_set = json!({ "Fn::Not": [{ "Fn::Equals": [{ "Ref": "PepperSecret" }, ""] }] });
    assert_eq!(whole()["Conditions"]["HasPepperSecret"], is_set);
}

#[test]
fn only_functions_that_may_need_the_distributions_secret_can_read_it() {
    for folder in folders() {
        let conditions = conditions_of_reading(&folder, "DistributionSecret");
        let is_public = variables_read(&folder).contains_key("REQUIRE_DISTRIBUTION");
        let wanted = match (shows_places(&folder), is_public) {
            (true, _) => vec![json!("HasDistributionSecret")],
            (false, true) => vec![json!("RequiresDistribution")],
            (false, false) => vec![],
        };
        assert_eq!(conditions, wanted, "{folder}");
    }
}

#[test]
fn every_function_has_the_variables_that_it_reads_and_of_its_own_no_other() {
    let for_all = whole()["Globals"]["Function"]["Environment"]["Variables"]
        .as_object()
        .unwrap();
    let mut read_by_any = BTreeSet::new();

    for folder in folders() {
        let read = variables_read(&folder);
        let function = functions()[&*pascal_case(&folder)];
        let own = function["Environment"]["Variables"].as_object();
        let own: BTreeSet<&String> = own.into_iter().flat_map(|own| own.keys()).collect();

        for (name, needed) in &read {
            let is_set = own.contains(name) || for_all.contains_key(name);
            assert!(!needed || is_set, "{folder} needs {name}");
        }
        for name in own {
            assert!(read.contains_key(name), "{folder} does not read {name}");
            let is_again = for_all.contains_key(name);
            let shows_places = name == "DISTRIBUTION_SECRET" && shows_places(&folder);
            assert_eq!(is_again, shows_places, "{folder} sets {name} again");
        }
        read_by_any.extend(read.into_keys());
    }
    assert!(shows_places("login"));
    // Every function sees these: none may be a secret or grant access.
    let harmless = [
        "ALLOWED_ORIGINS",
        "REQUIRE_DISTRIBUTION",
        "DISTRIBUTION_SECRET",
    ];
    for (name, value) in for_all {
        assert!(read_by_any.contains(name), "no function reads {name}");
        let is_harmless = harmless.contains(&&**name);
        assert!(name.ends_with("_TABLE") || name.ends_with("_DAYS") || is_harmless);
        let value = value["Fn::If"].get(1).unwrap_or(value);
        assert!(value["Ref"].is_string(), "{name}");
    }
}

#[test]
fn every_parameter_is_used() {
    let mut used = BTreeSet::new();
    for part in ["Conditions", "Globals", "Resources", "Outputs"] {
        walk(&whole()[part], "", &mut |path, value| {
            let text = value.as_str().unwrap_or_default();
            if path.ends_with(".Ref") {
                used.insert(text.to_owned());
            }
        });
    }

    for (name, parameter) in whole()["Parameters"].as_object().unwrap() {
        assert!(used.contains(name), "{name} has no effect");
        assert!(parameter.get("Default").is_some(), "{name} has no default");
    }
}

#[test]
fn the_bucket_is_private_and_encrypted() {
    for (name, bucket) in resources("AWS::S3::Bucket") {
        let properties = &bucket["Properties"];
        let closed = &properties["PublicAccessBlockConfiguration"];
        for lock in [
            "BlockPublicAcls",
            "BlockPublicPolicy",
            "IgnorePublicAcls",
            "RestrictPublicBuckets",
        ] {
            assert_eq!(closed[lock], true, "{name}");
        }
        assert!(properties["BucketEncryption"].is_object(), "{name}");
        assert!(properties["LifecycleConfiguration"].is_object(), "{name}");
    }
}

#[test]
fn the_outputs_have_what_an_adopting_team_needs() {
    let outputs = whole()["Outputs"].as_object().unwrap();

    for name in [
        "ApiUrl",
        "SocketUrl",
        "TopicArn",
        "AuthorizerArn",
        "IntrospectionArn",
        "BackendLoginArn",
        "BackendVerificationArn",
    ] {
        assert!(outputs.contains_key(name), "{name}");
    }
}
