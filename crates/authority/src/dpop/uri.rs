//! Addresses in one form, to be compared (RFC 3986 section 6.2).

/// Longest address that is compared.
const MAX: usize = 4_096;

/// `http` and `https` addresses without query and fragment: scheme and host in lower case, no default port, no needless percent-encoding,
/// `/` for an empty path (RFC 3986 sections 6.2.2 and 6.2.3). `None` for anything else, and for paths with `.` and `..`, which no client
/// sends and which servers read in different ways.
pub fn normalised(address: &str) -> Option<String> {
    if address.len() > MAX || !address.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let (scheme, rest) = address.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let default_port = match scheme.as_str() {
        "http" => "80",
        "https" => "443",
        _ => return None,
    };
    let rest = rest.split(['?', '#']).next()?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let authority = authority.to_ascii_lowercase();
    // The port comes after the last colon, unless that is inside the brackets of an IPv6 address.
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (authority.as_str(), ""),
    };
    // A colon belongs to IPv6 alone, or cutting off a default port would make a port of what is before it.
    let (within, extra): (_, &[u8]) = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(within) => (within, b":."),
        None => (host, b"-._~"),
    };
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || extra.contains(&byte);
    if within.is_empty() || !within.bytes().all(is_host) || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let path = plain_path(path)?;
    let port = if port.is_empty() || port == default_port { String::new() } else { format!(":{port}") };
    Some(format!("{scheme}://{host}{port}{}", if path.is_empty() { "/" } else { &path }))
}

/// Percent-encoding in upper case, and only where it must be.
fn plain_path(path: &str) -> Option<String> {
    let mut plain = String::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first != b'%' {
            plain.push(char::from(*first));
            rest = after;
            continue;
        }
        let digits = std::str::from_utf8(after.get(..2)?).ok()?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        let byte = u8::from_str_radix(digits, 16).ok()?;
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            plain.push(char::from(byte));
        } else {
            plain.push('%');
            plain.push_str(&digits.to_ascii_uppercase());
        }
        rest = after.get(2..)?;
    }
    let is_dots = |name: &str| matches!(name, "." | "..");
    if plain.split('/').any(is_dots) { None } else { Some(plain) }
}

#[cfg(test)]
mod tests {
    use super::normalised;

    #[test]
    fn addresses_that_mean_the_same_are_the_same() {
        for (address, expected) in [
            ("https://Export.Example/api", "https://export.example/api"),
            ("HTTPS://export.example:443/api?x=1#y", "https://export.example/api"),
            ("http://export.example:80", "http://export.example/"),
            ("http://export.example:", "http://export.example/"),
            ("http://export.example?x", "http://export.example/"),
            ("http://127.0.0.1:8480/a%2db%c3%a9", "http://127.0.0.1:8480/a-b%C3%A9"),
            ("http://[::1]:8480/x", "http://[::1]:8480/x"),
            ("http://[::1]/x", "http://[::1]/x"),
            ("https://h:80/", "https://h:80/"),
            ("https://h/a%2fb", "https://h/a%2Fb"),
            ("https://h/A//b/", "https://h/A//b/"),
        ] {
            assert_eq!(normalised(address).as_deref(), Some(expected), "{address}");
            assert_eq!(normalised(expected).as_deref(), Some(expected), "twice: {expected}");
        }
    }

    #[test]
    fn what_is_no_plain_address_is_none() {
        for address in [
            "",
            "/api",
            "export.example/api",
            "ftp://h/",
            "http://",
            "http:///x",
            "http://u@h/",
            "http://u:p@h/",
            "http://h:8o/",
            "http://a:1:80/",
            "http://[::1/",
            "http://::1/",
            "http://[]/",
            "http://[a-b]/",
            "http://h/a/../b",
            "http://h/%2e%2E/b",
            "http://h/./b",
            "http://h/%",
            "http://h/%4",
            "http://h/%+4",
            "http://h/%zz",
            "http://h/a b",
            "http://h/é",
            "http://h\\x/",
            &format!("http://h/{}", "a".repeat(5_000)),
        ] {
            assert_eq!(normalised(address), None, "{address}");
        }
    }
}
