//! URLs as Go writes them: the request's path and query, and where an address leads.

/// The port of an address without one.
const HTTP_PORT: u16 = 80;

/// Returns the escaped path with the escaped parameters, in the order given.
pub(crate) fn path_and_query(path: &str, params: &[(String, String)]) -> String {
    let mut text = if path.starts_with('/') { String::new() } else { "/".to_owned() };
    escape(&mut text, path, |b| b"-_.~$&+,/:;=@".contains(&b), "%20");
    for (position, (name, value)) in params.iter().enumerate() {
        text.push(if position == 0 { '?' } else { '&' });
        escape(&mut text, name, |b| b"-_.~".contains(&b), "+");
        text.push('=');
        escape(&mut text, value, |b| b"-_.~".contains(&b), "+");
    }
    text
}

fn escape(escaped: &mut String, text: &str, plain: impl Fn(u8) -> bool, space: &str) {
    for byte in text.bytes() {
        match byte {
            b' ' => escaped.push_str(space),
            b if b.is_ascii_alphanumeric() || plain(b) => escaped.push(char::from(b)),
            b => escaped.push_str(&format!("%{b:02X}")),
        }
    }
}

/// Splits `host`, `host:port`, `[v6]` or `[v6]:port` into what a socket connects to.
pub(crate) fn host_and_port(address: &str) -> Result<(&str, u16), String> {
    let fault = || format!("{address:?} is not an address, expected host or host:port");
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or_else(fault)?;
            (host, rest.strip_prefix(':').or_else(|| rest.is_empty().then_some("")).ok_or_else(fault)?)
        }
        None => address.rsplit_once(':').unwrap_or((address, "")),
    };
    if host.is_empty() || (host.contains(':') && !address.starts_with('[')) {
        return Err(fault());
    }
    let port = if port.is_empty() { HTTP_PORT } else { port.parse().map_err(|_| fault())? };
    Ok((host, port))
}

/// Resolves the `Location` of a redirect against what was asked: returns the address, and path with query.
pub(crate) fn redirect(location: &str, address: &str, path: &str) -> Result<(String, String), String> {
    if location.starts_with("https://") {
        return Err(format!("redirect to {location:?}: https is not supported yet"));
    }
    let absolute = location.strip_prefix("http://").or_else(|| location.strip_prefix("//"));
    let (address, target) = match absolute {
        Some(rest) => {
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            (rest[..end].to_owned(), rest[end..].to_owned())
        }
        None if location.starts_with('/') => (address.to_owned(), location.to_owned()),
        None => {
            let directory = path.split('?').next().unwrap_or_default();
            let end = directory.rfind('/').map_or(0, |slash| slash + 1);
            (address.to_owned(), format!("{}{location}", &directory[..end]))
        }
    };
    let target = target.split('#').next().unwrap_or_default();
    let slash = if target.starts_with('/') { "" } else { "/" };
    Ok((address, format!("{slash}{target}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let cases = [
            ("a", Ok(("a", 80))),
            ("a:1", Ok(("a", 1))),
            ("[::1]", Ok(("::1", 80))),
            ("[::1]:9", Ok(("::1", 9))),
        ];
        for (address, expected) in cases {
            assert_eq!(host_and_port(address), expected, "{address}");
        }
        for address in ["", ":1", "a:x", "a:99999", "::1", "[::1", "[::1]x"] {
            assert!(host_and_port(address).is_err(), "{address}");
        }
    }

    #[test]
    fn redirects() {
        let to = |location| redirect(location, "a:1", "/dir/metrics?x=1").map(|(a, p)| format!("{a}{p}"));
        assert_eq!(to("/other?y#z").as_deref(), Ok("a:1/other?y"));
        assert_eq!(to("other").as_deref(), Ok("a:1/dir/other"));
        assert_eq!(to("http://b/c").as_deref(), Ok("b/c"));
        assert_eq!(to("http://b?c").as_deref(), Ok("b/?c"));
        assert_eq!(to("//b:2").as_deref(), Ok("b:2/"));
        assert!(to("https://b/c").is_err());
    }
}
