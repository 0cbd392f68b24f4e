//! `metadata.json` beside a database.

/// The text. `updated_at` and `next_update` are RFC 3339. Trivy writes `DownloadedAt` itself after a pull, so it is given as year 1.
pub fn text(schema: u32, updated_at: &str, next_update: &str) -> String {
    format!(
        "{{\"Version\":{schema},\"NextUpdate\":\"{next_update}\",\"UpdatedAt\":\"{updated_at}\",\"DownloadedAt\":\"0001-01-01T00:00:00Z\"}}\n"
    )
}
