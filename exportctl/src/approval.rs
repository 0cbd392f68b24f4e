//! `exportctl approval`.

use std::time::SystemTime;

use export_contract::approval::{APPROVAL_TYPE, Approval, MAX_APPROVAL_SECONDS};
use export_contract::{Timestamp, Version};
use export_signing::dsse::{Envelope, pre_authentication};
use export_signing::{FileSigner, Password, Signer as _};

use crate::cli::{ApprovalCommand, SignArguments};
use crate::exit::{Exit, Failure};
use crate::output;

/// Runs one of the approval commands.
pub(crate) async fn approval(command: ApprovalCommand) -> Result<Exit, Failure> {
    let ApprovalCommand::Sign(arguments) = command;
    let SignArguments { to, profile, reason, valid, key, password_file, out, selectors } = *arguments;
    if i64::from(valid) > MAX_APPROVAL_SECONDS {
        return Err(Failure::Usage("--valid: at most 90d".to_owned()));
    }
    let issued_at: Timestamp = SystemTime::now().into();
    let approval = Approval {
        v: Version,
        tenant: to,
        profile_id: profile,
        selectors: selectors.into(),
        issued_at,
        expires_at: issued_at.plus_seconds(i64::from(valid)),
        reason,
    };
    if approval.selectors.others(&approval.tenant).next().is_none() {
        return Err(Failure::Usage("--of-tenant: name the tenants whose evidence is to be read".to_owned()));
    }
    let password = match password_file {
        Some(path) => crate::login::read_text(&path)?.trim_end_matches(['\r', '\n']).to_owned(),
        None => String::new(),
    };
    let signer = FileSigner::open(&key, &Password::new(password.into_bytes())).map_err(Failure::SigningKey)?;
    let written = |cause| Failure::Json { path: "approval".into(), cause };
    let payload = serde_json::to_vec(&approval).map_err(written)?;
    let signature = signer.sign(&pre_authentication(APPROVAL_TYPE, &payload)).await.map_err(Failure::Approval)?;
    let envelope = serde_json::to_string(&Envelope::new(APPROVAL_TYPE, &payload, &signature)).map_err(written)?;
    let Some(path) = out else {
        output::text(&envelope);
        return Ok(Exit::Ok);
    };
    std::fs::write(&path, envelope + "\n").map_err(|cause| Failure::File { act: "write", path, cause })?;
    Ok(Exit::Ok)
}
