//! Names of hosts.

use std::ffi::CStr;
use std::net::{IpAddr, SocketAddr};

/// The name of the host with this address, as the system's resolver knows it; `None` if it has
/// none. May take as long as the resolver waits for its servers.
pub fn of_address(address: IpAddr) -> Option<String> {
    let socket = socket2::SockAddr::from(SocketAddr::new(address, 0));
    let mut name = [0u8; libc::NI_MAXHOST as usize];
    // SAFETY: the address is valid for as many octets as it says and the buffer for its length
    // while the call lasts; no name of a service is asked for.
    let failed = unsafe {
        libc::getnameinfo(
            socket.as_ptr().cast(),
            socket.len(),
            name.as_mut_ptr().cast(),
            name.len() as libc::socklen_t,
            std::ptr::null_mut(),
            0,
            libc::NI_NAMEREQD,
        )
    };
    if failed != 0 {
        return None;
    }
    // Names come from outside: what is no name is not shown.
    let name = CStr::from_bytes_until_nul(&name).ok()?.to_str().ok()?;
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_');
    (!name.is_empty() && name.chars().all(is_plain)).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_without_a_name_have_none() {
        // RFC 5737: nobody has these. Where there is no resolver at all, there is no name either.
        assert_eq!(of_address("192.0.2.255".parse().unwrap()), None);
        if let Some(name) = of_address("127.0.0.1".parse().unwrap()) {
            assert!(!name.contains("127.0.0.1") && name.is_ascii());
        }
    }
}
