//! Checks the configuration of a profile by its JSON Schema, which is made of the type, and by the rules between members.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use export_contract::ErrorCode;
use export_contract::encryption::recipient_fault;
use export_contract::profile::{ProfileConfig, ProfileError, ProfileKind, config_schema};
use jsonschema::error::ValidationErrorKind;
use jsonschema::paths::{Location, LocationSegment};
use jsonschema::{ValidationError, Validator};
use serde_json::{Number, Value};

use crate::problem::{FieldError, Problem};

/// Most differing letters between an unknown name and one that may be meant.
const NEAR: usize = 3;

/// The schema of a kind, made once.
struct Checker {
    schema: Value,
    validator: Option<Validator>,
}

static CHECKERS: LazyLock<BTreeMap<ProfileKind, Checker>> = LazyLock::new(|| {
    let checker = |kind| {
        let schema = config_schema(kind);
        let validator = jsonschema::draft202012::new(&schema).ok();
        (kind, Checker { schema, validator })
    };
    ProfileKind::ALL.into_iter().map(checker).collect()
});

/// Applies `change` to `config` as a JSON merge patch (RFC 7396) and checks the result.
pub(super) fn merged(config: &ProfileConfig, change: Value, kind: ProfileKind) -> Result<ProfileConfig, Problem> {
    if change.is_null() {
        return Ok(config.clone());
    }
    let broken = || Problem::new(ErrorCode::Internal, "the profile cannot be written");
    let mut whole = serde_json::to_value(config).map_err(|_| broken())?;
    merge(&mut whole, change);
    read(whole, kind)?.map_err(|errors| {
        Problem::new(ErrorCode::InvalidProfile, "the profile's configuration is not valid").with_errors(errors)
    })
}

/// Reads a whole configuration; gives every member at fault.
///
/// # Errors
/// A defect of this build: its schema cannot be used, or takes what the type does not.
pub(crate) fn read(whole: Value, kind: ProfileKind) -> Result<Result<ProfileConfig, Vec<FieldError>>, Problem> {
    let broken = |what: &str| Problem::new(ErrorCode::Internal, format!("the configuration cannot be checked: {what}"));
    let checker = CHECKERS.get(&kind).ok_or_else(|| broken("there is no schema"))?;
    let validator = checker.validator.as_ref().ok_or_else(|| broken("the schema is not one"))?;
    let mut faults: Vec<FieldError> =
        validator.iter_errors(&whole).flat_map(|error| checker.faults(&whole, &error)).collect();
    if !faults.is_empty() {
        faults.sort_by(|a, b| (&a.path, &a.problem).cmp(&(&b.path, &b.problem)));
        faults.dedup();
        return Ok(Err(faults));
    }
    let config: ProfileConfig = serde_json::from_value(integral(whole)).map_err(|error| broken(&error.to_string()))?;
    let faults: Vec<ProfileError> =
        [config.check(), config.check_for(kind)].into_iter().filter_map(Result::err).flatten().collect();
    if faults.is_empty() {
        return Ok(Ok(config));
    }
    Ok(Err(faults.into_iter().map(|ProfileError { path, problem }| FieldError { path, problem }).collect()))
}

/// To JSON Schema `3.0` is an integer, to the parser it is none.
fn integral(value: Value) -> Value {
    match value {
        Value::Number(number) => {
            Value::Number(number.as_f64().filter(|_| number.is_f64()).and_then(whole_number).unwrap_or(number))
        }
        Value::Array(entries) => entries.into_iter().map(integral).collect(),
        Value::Object(members) => members.into_iter().map(|(name, value)| (name, integral(value))).collect(),
        other => other,
    }
}

fn whole_number(number: f64) -> Option<Number> {
    // Behind 2^53 not every integer is there; no member goes that far.
    if number.fract() != 0.0 || number.abs() > 9_007_199_254_740_992.0 {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "it is whole and within bounds")]
    let whole = number as i64;
    Some(whole.into())
}

impl Checker {
    /// What a fault of validation comes to, by member.
    fn faults(&self, whole: &Value, error: &ValidationError<'_>) -> Vec<FieldError> {
        let at = error.instance_path();
        let fault = |problem: String| vec![FieldError { path: path(at), problem }];
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                let known = self.names(at);
                let unknown = |name: &String| FieldError {
                    path: format!("{}.{name}", path(at)),
                    problem: match nearest(name, &known) {
                        Some(near) => format!("unknown; did you mean `{near}`?"),
                        None => format!("unknown; known are {}", known.join(", ")),
                    },
                };
                unexpected.iter().map(unknown).collect()
            }
            ValidationErrorKind::Required { property } => {
                vec![FieldError { path: format!("{}.{}", path(at), text(property)), problem: "is missing".to_owned() }]
            }
            ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
                self.of_branches(whole, error, context)
            }
            ValidationErrorKind::Enum { options } => {
                let options = options.as_array().map_or_else(Vec::new, |options| options.iter().map(text).collect());
                fault(format!("use {}", one_of(&options)))
            }
            ValidationErrorKind::Constant { expected_value } => fault(format!("use {}", text(expected_value))),
            ValidationErrorKind::Minimum { .. } | ValidationErrorKind::Maximum { .. } => fault(self.bounds(at)),
            ValidationErrorKind::MinItems { limit: 1 } => fault("name at least one".to_owned()),
            ValidationErrorKind::MaxItems { limit } => fault(format!("name at most {limit}")),
            ValidationErrorKind::Pattern { .. } => {
                let given = error.instance().as_str().unwrap_or_default();
                fault(match path(at).as_str() {
                    "config.ociRegistry" => "use a host such as registry.example:5000".to_owned(),
                    recipient if recipient.starts_with("config.encryption.recipients") => {
                        recipient_fault(given).unwrap_or("use age1…, awskms:KEY or vault:NAME").to_owned()
                    }
                    _ => error.to_string(),
                })
            }
            _ => fault(error.to_string()),
        }
    }

    /// Of several forms the one that is meant: words where a word is wanted, members where an object is.
    fn of_branches(
        &self,
        whole: &Value,
        error: &ValidationError<'_>,
        branches: &[Vec<ValidationError<'static>>],
    ) -> Vec<FieldError> {
        let at = error.instance_path();
        let words: Vec<String> = branches
            .iter()
            .flatten()
            .flat_map(|error| match error.kind() {
                ValidationErrorKind::Constant { expected_value } => vec![text(expected_value)],
                ValidationErrorKind::Enum { options } => {
                    options.as_array().map_or_else(Vec::new, |options| options.iter().map(text).collect())
                }
                ValidationErrorKind::OneOfNotValid { context } => context
                    .iter()
                    .flatten()
                    .filter_map(|error| match error.kind() {
                        ValidationErrorKind::Constant { expected_value } => Some(text(expected_value)),
                        _ => None,
                    })
                    .collect(),
                _ => Vec::new(),
            })
            .collect();
        if !words.is_empty() && error.instance().as_object().is_none() {
            return vec![FieldError { path: path(at), problem: format!("use {}", one_of(&words)) }];
        }
        let is_type = |error: &ValidationError<'_>| {
            matches!(error.kind(), ValidationErrorKind::Type { .. }) && error.instance_path().as_str() == at.as_str()
        };
        let meant = branches.iter().find(|errors| !errors.iter().any(is_type));
        match meant {
            Some(errors) => errors.iter().flat_map(|error| self.faults(whole, error)).collect(),
            None => vec![FieldError { path: path(at), problem: "has another type than it can have".to_owned() }],
        }
    }

    /// The schema of the member at `at`.
    fn member(&self, at: &Location) -> Option<&Value> {
        let mut found = self.resolved(&self.schema);
        for segment in at {
            found = self.resolved(match segment {
                LocationSegment::Property(name) => found.get("properties")?.get(name.as_ref())?,
                LocationSegment::Index(_) => found.get("items")?,
            });
        }
        Some(found)
    }

    fn resolved<'a>(&'a self, schema: &'a Value) -> &'a Value {
        let branches = schema.get("anyOf").and_then(Value::as_array);
        let schema =
            branches.and_then(|branches| branches.iter().find(|branch| branch.get("$ref").is_some())).unwrap_or(schema);
        let target = schema.get("$ref").and_then(Value::as_str).and_then(|target| target.strip_prefix('#'));
        target.and_then(|target| self.schema.pointer(target)).unwrap_or(schema)
    }

    fn names(&self, at: &Location) -> Vec<&str> {
        let members = self.member(at).and_then(|schema| schema.get("properties")).and_then(Value::as_object);
        members.map_or_else(Vec::new, |members| members.keys().map(String::as_str).collect())
    }

    fn bounds(&self, at: &Location) -> String {
        let bound = |name: &str| self.member(at).and_then(|schema| schema.get(name)).map_or_else(String::new, text);
        format!("use {} to {}", bound("minimum"), bound("maximum"))
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn one_of(words: &[String]) -> String {
    match words {
        [] => "something else".to_owned(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// `config.compression.level`, `config.include[0]`.
fn path(at: &Location) -> String {
    let mut path = "config".to_owned();
    for segment in at {
        match segment {
            LocationSegment::Property(name) => {
                path.push('.');
                path.push_str(&name);
            }
            LocationSegment::Index(index) => path = format!("{path}[{index}]"),
        }
    }
    path
}

/// The known name that is nearest to an unknown one, where one is near.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let short: String = name.chars().take(64).collect();
    let plain = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
    let wanted = plain(&short);
    let far = |candidate: &&str| distance(&wanted, &plain(candidate));
    let near = known.iter().copied().min_by_key(far)?;
    (far(&near) <= NEAR.min(wanted.chars().count() / 2)).then_some(near)
}

/// Letters to be added, left out or changed (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (line, letter) in a.chars().enumerate() {
        let mut before = row.first().copied().unwrap_or_default();
        let mut left = line + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (known, cell) in b.iter().zip(row.iter_mut().skip(1)) {
            let changed = before + usize::from(*known != letter);
            before = *cell;
            left = changed.min(*cell + 1).min(left + 1);
            *cell = left;
        }
    }
    row.last().copied().unwrap_or_default()
}

fn merge(target: &mut Value, patch: Value) {
    match (target, patch) {
        (Value::Object(members), Value::Object(changes)) => {
            for (name, change) in changes {
                if change.is_null() {
                    members.remove(&name);
                } else {
                    merge(members.entry(name).or_insert_with(|| Value::Object(serde_json::Map::new())), change);
                }
            }
        }
        (target, patch) => *target = patch,
    }
}

#[cfg(test)]
mod tests;
