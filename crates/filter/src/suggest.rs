//! What somebody may have meant.

use crate::primitive::Phrases;
use record::code::Proto;

/// The candidate that looks most like `word`, if one comes close.
pub(crate) fn nearest<'c>(
    word: &str,
    candidates: impl Iterator<Item = &'c str>,
) -> Option<&'c str> {
    if word.len() > 40 {
        return None;
    }
    let word = word.to_ascii_lowercase();
    let rank = |c: &'c str| {
        let lower = c.to_ascii_lowercase();
        // Of words as far away, the one that begins alike.
        let alike = strsim::jaro_winkler(&word, &lower);
        (strsim::osa_distance(&word, &lower), (1e6 * (1.0 - alike)) as u64, c)
    };
    let (distance, _, name) = candidates.map(rank).min()?;
    (distance <= word.len() / 3).then_some(name)
}

/// What to write instead of the unknown `word` behind the known words of `path`.
pub(crate) fn phrase(path: &str, word: &str) -> Option<String> {
    let word = word.to_ascii_lowercase();
    if let Some(meant) = elsewhere(&word) {
        // `src xip` of older versions is `src nat ip`.
        let is_sided = matches!(path, "src" | "dst") && meant.starts_with("nat ");
        let side = if is_sided { format!("{path} ") } else { String::new() };
        return Some(format!("did you mean `{side}{meant}`?"));
    }
    if path.is_empty() && Proto::from_prefix(&word).is_some_and(|p| named(p, &word)) {
        return Some(format!("did you mean `proto {word}`?"));
    }
    let all = Phrases::all();
    // A word that needs a direction before it.
    let mut ends = all.iter().filter(|p| p.text.rsplit(' ').next() == Some(&word));
    if path.is_empty()
        && let Some(found) = ends.next()
    {
        return Some(format!("did you mean `{}`?", found.text));
    }
    // Words that follow here, then whole phrases without their blanks: `sport` is `src port`.
    let skip = if path.is_empty() { 0 } else { path.len() + 1 };
    let next = all.under(path).filter_map(|p| p.text.get(skip..)?.split(' ').next());
    if let Some(found) = nearest(&word, next) {
        let blank = if path.is_empty() { "" } else { " " };
        return Some(format!("did you mean `{path}{blank}{found}`?"));
    }
    let joined: Vec<_> = all.iter().map(|p| (p.text.replace(' ', ""), p.text)).collect();
    let whole = format!("{}{word}", path.replace(' ', ""));
    let found = nearest(&whole, joined.iter().map(|j| j.0.as_str()))?;
    let text = joined.iter().find(|j| j.0 == found)?.1;
    Some(format!("did you mean `{text}`?"))
}

fn named(proto: Proto, word: &str) -> bool {
    proto.name().is_some_and(|n| n.eq_ignore_ascii_case(word))
}

/// Words of older versions and of other tools.
fn elsewhere(word: &str) -> Option<&'static str> {
    Some(match word {
        "sport" => "src port",
        "dport" => "dst port",
        "xip" | "nip" => "nat ip",
        "xnet" | "nnet" => "nat net",
        "xport" | "nport" => "nat port",
        "inet" => "ipv4",
        "inet6" => "ipv6",
        "sysid" => "exporter id",
        "xevent" => "asa xevent",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses() {
        for (path, word, want) in [
            ("", "sport", Some("src port")),
            ("", "srcport", Some("src port")),
            ("", "prot", Some("proto")),
            ("", "TCP", Some("proto tcp")),
            ("", "acl", Some("egress acl")),
            ("", "latency", Some("client latency")),
            ("src", "prot", Some("src port")),
            ("src", "xip", Some("src nat ip")),
            ("", "nport", Some("nat port")),
            ("nat pblock", "strat", Some("nat pblock start")),
            ("", "frobnicate", None),
        ] {
            let want = want.map(|w| format!("did you mean `{w}`?"));
            assert_eq!(phrase(path, word), want, "{path} {word}");
        }
        assert_eq!(nearest(&"x".repeat(1000), ["x"].into_iter()), None);
    }
}
