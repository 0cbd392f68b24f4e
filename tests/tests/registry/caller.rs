//! A client of the registry in plain HTTP.

use export_tests::Deployment;
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::Value;

/// A client id with its secret.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub id: String,
    pub secret: String,
}

/// Makes a client of a tenant, with all scopes if none is named.
pub(crate) fn identity(deployment: &Deployment, id: &str, tenant: &str, scopes: &[&str]) -> Identity {
    let file = deployment.put_client(id, tenant, scopes).unwrap();
    let file: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let field = |name: &str| file[name].as_str().unwrap().to_owned();
    Identity { id: field("clientId"), secret: field("clientSecret") }
}

/// Host and port of the gateway.
pub(crate) fn host(deployment: &Deployment) -> String {
    deployment.server().trim_start_matches("http://").to_owned()
}

/// Pulls with a token, or with none.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    http: Client,
    base: String,
    token: Option<String>,
}

impl Caller {
    pub(crate) fn new(deployment: &Deployment) -> Self {
        Self { http: Client::new(), base: deployment.server().to_owned(), token: None }
    }

    /// With another token.
    pub(crate) fn bearing(&self, token: Option<String>) -> Self {
        Self { token, ..self.clone() }
    }

    /// The answer of the token endpoint.
    pub(crate) async fn ask_token(&self, identity: Option<&Identity>, scope: Option<&str>) -> Response {
        let mut path = "/v2/token?service=export-center".to_owned();
        path.extend(scope.map(|scope| format!("&scope={scope}")));
        let mut request = self.http.get(format!("{}{path}", self.base));
        if let Some(Identity { id, secret }) = identity {
            request = request.basic_auth(id, Some(secret));
        }
        request.send().await.unwrap()
    }

    /// With a token for a scope.
    pub(crate) async fn login(&self, identity: Option<&Identity>, scope: Option<&str>) -> Self {
        let answer = self.ask_token(identity, scope).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(answer["token"], answer["access_token"]);
        self.bearing(answer["token"].as_str().map(str::to_owned))
    }

    pub(crate) async fn send(&self, method: Method, path: &str, headers: &[(&'static str, &str)]) -> Response {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.send(Method::GET, path, &[]).await
    }

    /// The JSON of an answer that must be a success.
    pub(crate) async fn json(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.json().await.unwrap()
    }

    /// Status and error code of an answer that must be a refusal.
    pub(crate) async fn refused(&self, method: Method, path: &str) -> (u16, String) {
        refusal(self.send(method, path, &[]).await).await
    }
}

/// Status and error code of a refusal.
pub(crate) async fn refusal(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.unwrap();
    (status, body["errors"][0]["code"].as_str().unwrap_or_default().to_owned())
}
