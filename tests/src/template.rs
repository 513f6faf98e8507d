//! `template.yaml` as plain JSON: a short form such as `!Sub x` is
//! `{"Fn::Sub": "x"}`.

use std::fs;

use anyhow::{Context, Result, bail};
use saphyr::{LoadableYamlNode as _, Scalar, Yaml};
use serde_json::{Map, Value, json};

/// Reads `template.yaml`.
///
/// # Errors
/// When it can not be read.
pub fn read() -> Result<Value> {
    read_at("template.yaml")
}

/// Reads another template of the repository.
///
/// # Errors
/// When it can not be read.
pub fn read_at(path: &str) -> Result<Value> {
    let text = fs::read_to_string(curfew::root().join(path))?;
    let documents = Yaml::load_from_str(&text)?;
    let [document] = documents.as_slice() else {
        bail!("{path} is not one document");
    };
    plain(document)
}

/// Returns the resources of a type, each with its logical id.
#[must_use]
pub fn resources<'a>(template: &'a Value, kind: &str) -> Vec<(&'a str, &'a Value)> {
    let resources = template["Resources"].as_object();
    resources
        .into_iter()
        .flatten()
        .filter(|(_, resource)| resource["Type"] == kind)
        .map(|(name, resource)| (name.as_str(), resource))
        .collect()
}

fn plain(node: &Yaml) -> Result<Value> {
    Ok(match node {
        Yaml::Value(scalar) => match scalar {
            Scalar::Null => Value::Null,
            Scalar::Boolean(it) => json!(it),
            Scalar::Integer(it) => json!(it),
            Scalar::FloatingPoint(it) => json!(it.into_inner()),
            Scalar::String(it) => json!(it),
        },
        Yaml::Sequence(items) => items.iter().map(plain).collect::<Result<_>>()?,
        Yaml::Mapping(members) => {
            let mut object = Map::new();
            for (name, value) in members {
                let name = name.as_str().context("a key that is not a string")?;
                object.insert(name.to_owned(), plain(value)?);
            }
            Value::Object(object)
        }
        Yaml::Tagged(tag, value) => {
            let name = tag.suffix.as_str();
            let value = plain(value)?;
            match (name, value.as_str()) {
                ("Ref" | "Condition", _) => json!({ name: value }),
                ("GetAtt", Some(text)) => {
                    let (resource, attribute) =
                        text.split_once('.').context("!GetAtt without a dot")?;
                    json!({ "Fn::GetAtt": [resource, attribute] })
                }
                _ => json!({ format!("Fn::{name}"): value }),
            }
        }
        Yaml::Representation(..) | Yaml::Alias(_) | Yaml::BadValue => {
            bail!("an unsupported kind of YAML node")
        }
    })
}
