//! What an operation of the API is: the row of the table that the document, the gate and the tests are made of.

use export_authority::Scope;
use export_contract::ErrorCode;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};

/// Gives the schema of a type, as part of a document.
pub(crate) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// The schema of `T`.
pub(crate) fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// Who may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Anybody.
    Open,
    /// Whoever has an access token with all of these scopes.
    Token(&'static [Scope]),
    /// Whoever has the signed link.
    Link,
    /// Whoever has a client id and secret (HTTP Basic), or a token with the scope for downloads; anybody, where the tenant is open.
    Puller,
}

/// Where a parameter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Path,
    Query,
    Header,
}

impl Place {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::Header => "header",
        }
    }
}

/// A parameter.
#[derive(Clone, Debug)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) place: Place,
    pub(crate) required: bool,
    pub(crate) schema: Value,
    pub(crate) description: &'static str,
}

/// A parameter of the query that may be left out.
pub(crate) fn query(name: &'static str, schema: Value, description: &'static str) -> Parameter {
    Parameter { name, place: Place::Query, required: false, schema, description }
}

/// A header that may be left out.
pub(crate) fn header(name: &'static str, schema: Value, description: &'static str) -> Parameter {
    Parameter { name, place: Place::Header, required: false, schema, description }
}

/// An answer that is a success, or one with a form of its own.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) description: &'static str,
    /// Media types, each with its schema; none without a body.
    pub(crate) contents: Vec<(&'static str, Option<SchemaOf>)>,
    /// Headers with what they say.
    pub(crate) headers: Vec<(&'static str, &'static str)>,
}

impl Answer {
    /// Without a body.
    pub(crate) fn empty(status: u16, description: &'static str) -> Self {
        Self { status, description, contents: Vec::new(), headers: Vec::new() }
    }

    /// With JSON.
    pub(crate) fn json<T: JsonSchema>(status: u16, description: &'static str) -> Self {
        Self { contents: vec![("application/json", Some(schema_of::<T>))], ..Self::empty(status, description) }
    }

    /// With bytes of a media type.
    pub(crate) fn bytes(status: u16, media: &'static [&'static str], description: &'static str) -> Self {
        let contents = media.iter().map(|media| (*media, None)).collect();
        Self { contents, ..Self::empty(status, description) }
    }

    /// The same with a header.
    pub(crate) fn header(mut self, name: &'static str, description: &'static str) -> Self {
        self.headers.push((name, description));
        self
    }
}

/// What a request brings.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    pub(crate) media: &'static str,
    pub(crate) schema: SchemaOf,
    pub(crate) example: Value,
}

/// One operation: a method on a path.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) method: &'static str,
    /// With `{names}`.
    pub(crate) path: &'static str,
    /// Unique, for those who generate clients.
    pub(crate) id: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) access: Access,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) body: Option<Body>,
    pub(crate) answers: Vec<Answer>,
    pub(crate) codes: Vec<ErrorCode>,
    /// Whether `HEAD` is answered as well.
    pub(crate) head: bool,
    /// Whether refusals have another form than problems; then `answers` has them all.
    pub(crate) own_refusals: bool,
}

impl Operation {
    fn new(method: &'static str, path: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self {
            method,
            path,
            id,
            summary,
            access: Access::Open,
            parameters: Vec::new(),
            body: None,
            answers: Vec::new(),
            codes: vec![ErrorCode::InvalidRequest, ErrorCode::Internal],
            head: method == "GET",
            own_refusals: false,
        }
    }

    pub(crate) fn get(path: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self::new("GET", path, id, summary)
    }

    pub(crate) fn post(path: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self::new("POST", path, id, summary)
    }

    pub(crate) fn patch(path: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self::new("PATCH", path, id, summary)
    }

    pub(crate) fn delete(path: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self::new("DELETE", path, id, summary)
    }

    /// For whoever has a token with all of these scopes; the tenant is the token's, or the one of `X-Stella-Tenant`.
    pub(crate) fn scopes(mut self, scopes: &'static [Scope]) -> Self {
        self.access = Access::Token(scopes);
        self.parameters.push(header(
            "X-Stella-Tenant",
            json!({ "type": "string" }),
            "The tenant, where the token speaks for several.",
        ));
        self.refuses(&[
            ErrorCode::Unauthenticated,
            ErrorCode::ScopeMissing,
            ErrorCode::TenantMismatch,
            ErrorCode::Quota,
            ErrorCode::Unavailable,
        ])
    }

    pub(crate) fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    pub(crate) fn with(mut self, parameter: Parameter) -> Self {
        self.parameters.push(parameter);
        self
    }

    /// Takes a JSON document.
    pub(crate) fn takes<T: JsonSchema>(mut self, example: Value) -> Self {
        self.body = Some(Body { media: "application/json", schema: schema_of::<T>, example });
        self.refuses(&[ErrorCode::BodyTooLarge, ErrorCode::UnsupportedMedia, ErrorCode::RequestTimeout])
    }

    /// Takes a form.
    pub(crate) fn takes_form<T: JsonSchema>(mut self, example: Value) -> Self {
        let media = "application/x-www-form-urlencoded";
        self.body = Some(Body { media, schema: schema_of::<T>, example });
        self
    }

    /// May be repeated with an `Idempotency-Key`.
    pub(crate) fn idempotent(self) -> Self {
        let schema = json!({ "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$" });
        let text = "A request that comes again with the key of an earlier one, within a day, has no effect of its own and gets that one's answer.";
        self.with(header("Idempotency-Key", schema, text)).refuses(&[
            ErrorCode::IdempotencyInFlight,
            ErrorCode::IdempotencyMismatch,
            ErrorCode::IdempotencyDone,
        ])
    }

    pub(crate) fn answers(mut self, answer: Answer) -> Self {
        self.answers.push(answer);
        self
    }

    /// With JSON of `T` and status 200.
    pub(crate) fn gives<T: JsonSchema>(self, description: &'static str) -> Self {
        self.answers(Answer::json::<T>(200, description))
    }

    pub(crate) fn refuses(mut self, codes: &[ErrorCode]) -> Self {
        self.codes.extend(codes);
        self
    }

    /// Without `HEAD`: the answer has no end of its own.
    pub(crate) fn without_head(mut self) -> Self {
        self.head = false;
        self
    }

    /// With refusals that are not problems.
    pub(crate) fn with_own_refusals(mut self) -> Self {
        self.own_refusals = true;
        self.codes.clear();
        self
    }

    /// Whether the path of a request is one of this operation.
    pub(crate) fn is_at(&self, path: &str) -> bool {
        let (mut wanted, mut given) = (bare(self.path).split('/'), bare(path).split('/'));
        loop {
            match (wanted.next(), given.next()) {
                (None, None) => return true,
                (Some(wanted), Some(given)) if wanted.starts_with('{') && !given.is_empty() => {}
                (Some(wanted), Some(given)) if wanted == given => {}
                _ => return false,
            }
        }
    }

    /// Names in the path.
    pub(crate) fn path_names(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }

    /// Media types of its answers; a request that accepts none of them is refused.
    pub(crate) fn media(&self) -> impl Iterator<Item = &'static str> {
        self.answers.iter().flat_map(|answer| answer.contents.iter().map(|(media, _)| *media))
    }
}

/// A path without the slash at its end, which means nothing.
fn bare(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}
