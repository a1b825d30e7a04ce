//! Listening sockets, with errors that say which flag to change.

use std::io::ErrorKind;
use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::fault::Fault;

/// Binds `address` (`host:port`, or `:port` for all interfaces).
///
/// # Errors
/// One line that names the address and `setting`, the flag or key to change.
pub(crate) async fn bind(address: &str, setting: &str) -> Result<TcpListener, Fault> {
    let full = with_host(address);
    TcpListener::bind(&full).await.map_err(|error| {
        let advice = match error.kind() {
            ErrorKind::AddrInUse => {
                format!("address already in use: stop the other process or choose another {setting}")
            }
            ErrorKind::PermissionDenied => {
                format!("permission denied: choose a port of 1024 or above as {setting}")
            }
            ErrorKind::AddrNotAvailable => {
                format!("this machine does not have that address: choose another {setting}")
            }
            ErrorKind::InvalidInput => format!("not an address of the form host:port: correct {setting}"),
            _ => format!("{error}: choose another {setting}"),
        };
        Fault::usage(format!("listen tcp {full}: {advice}"))
    })
}

/// Writes an address without host as all interfaces, as Go does.
fn with_host(address: &str) -> String {
    if address.starts_with(':') { format!("0.0.0.0{address}") } else { address.to_owned() }
}

/// Returns how the process that listens on `bound` is reached from this machine.
pub(crate) fn reachable(bound: SocketAddr) -> String {
    if bound.ip().is_unspecified() { format!("127.0.0.1:{}", bound.port()) } else { bound.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_fault_is_one_line_that_names_the_flag() {
        let held = bind("127.0.0.1:0", "--web.listen-address").await.expect("a free port");
        let address = held.local_addr().expect("bound").to_string();
        let fault = bind(&address, "--web.listen-address").await.expect_err("the port is taken").to_string();
        let expected = format!(
            "listen tcp {address}: address already in use: stop the other process or choose another --web.listen-address"
        );
        assert_eq!(fault, expected);
        let fault = bind("nonsense", "--web.listen-address").await.expect_err("not an address").to_string();
        assert_eq!(
            fault,
            "listen tcp nonsense: not an address of the form host:port: correct --web.listen-address"
        );
    }

    #[test]
    fn addresses_without_host_are_all_interfaces() {
        assert_eq!(with_host(":9090"), "0.0.0.0:9090");
        assert_eq!(reachable("0.0.0.0:9090".parse().expect("an address")), "127.0.0.1:9090");
        assert_eq!(reachable("10.0.0.7:80".parse().expect("an address")), "10.0.0.7:80");
    }
}
