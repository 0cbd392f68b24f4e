//! `exportctl api`: any request, for what has no command of its own.

use std::io::{Read as _, Write as _};

use export_client::{HeaderMap, HeaderName, HeaderValue};

use crate::cli::{ApiArguments, Global};
use crate::exit::{Exit, Failure};
use crate::login::client;
use crate::output;

/// Sends the request and passes the body on as it comes.
pub(crate) async fn api(global: &Global, arguments: ApiArguments) -> Result<Exit, Failure> {
    let ApiArguments { method, path, data, header, print_headers } = arguments;
    let client = client(global)?;
    if print_headers {
        let headers = client.headers_for(method, &path).await.map_err(Failure::Client)?;
        let lines: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        output::text(&lines.join("\n"));
        return Ok(Exit::Ok);
    }
    let headers = header.iter().map(|line| parsed(line)).collect::<Result<HeaderMap, Failure>>()?;
    let body = data.map(|data| body(&data)).transpose()?;
    let mut answer = client.call_any(method, &path, headers, body).await.map_err(Failure::Client)?;
    let mut out = std::io::stdout();
    while let Some(piece) = answer.piece().await.map_err(Failure::Client)? {
        // A reader that closed the pipe has seen enough.
        if out.write_all(&piece).and_then(|()| out.flush()).is_err() {
            break;
        }
    }
    Ok(Exit::Ok)
}

fn parsed(line: &str) -> Result<(HeaderName, HeaderValue), Failure> {
    let pair = line.split_once(':').and_then(|(name, value)| {
        Some((name.trim().parse::<HeaderName>().ok()?, value.trim().parse::<HeaderValue>().ok()?))
    });
    pair.ok_or_else(|| Failure::Usage(format!("--header: `{line}` is not of the form `name: value`")))
}

/// The text itself, or what a file holds.
fn body(data: &str) -> Result<Vec<u8>, Failure> {
    let Some(path) = data.strip_prefix('@') else { return Ok(data.as_bytes().to_vec()) };
    let failed = |cause| Failure::File { act: "read", path: path.into(), cause };
    if path == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).map_err(failed)?;
        return Ok(bytes);
    }
    std::fs::read(path).map_err(failed)
}
