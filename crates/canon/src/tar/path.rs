//! Which paths may stand in an archive.

/// Longest path in bytes. Linux allows 4,096 with the target folder before it.
pub(super) const MAX_PATH: usize = 2048;
/// Most components.
const MAX_COMPONENTS: usize = 128;
/// Longest component in bytes, on every usual file system.
const MAX_COMPONENT: usize = 255;

/// Says what is wrong with a path, which must be relative, made of `/`-separated names, and mean the same everywhere.
pub(super) fn check(path: &str) -> Result<(), &'static str> {
    if path.is_empty() {
        return Err("it is empty");
    }
    if path.len() > MAX_PATH {
        return Err("it is longer than 2048 bytes");
    }
    if path.starts_with('/') {
        return Err("it is absolute");
    }
    if let [drive, b':', ..] = path.as_bytes()
        && drive.is_ascii_alphabetic()
    {
        return Err("it starts with a drive letter");
    }
    if path.contains('\\') {
        return Err("it holds a backslash");
    }
    if path.chars().any(char::is_control) {
        return Err("it holds a control character");
    }
    if path.split('/').count() > MAX_COMPONENTS {
        return Err("it has more than 128 components");
    }
    for component in path.split('/') {
        match component {
            "" => return Err("it has an empty component"),
            "." => return Err("it has a `.` component"),
            ".." => return Err("it has a `..` component"),
            _ if component.len() > MAX_COMPONENT => {
                return Err("it has a component longer than 255 bytes");
            }
            _ => {}
        }
    }
    Ok(())
}

/// A path for messages: at most 200 characters, controls escaped.
pub(super) fn shown(path: &[u8]) -> String {
    let (start, rest) = path.split_at(path.len().min(200));
    let mut shown: String = String::from_utf8_lossy(start).chars().flat_map(char::escape_debug).collect();
    if !rest.is_empty() {
        shown.push('…');
    }
    shown
}
