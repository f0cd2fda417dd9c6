//! Definitions in a file: TOML for people, and the lines that NfSen gives to nfprofile.

use crate::definition::{
    Channel, DEFAULT_INTERVAL, Profile, Profiles, Source, Span, check_name, term,
};
use crate::error::ProfileError;
use chrono::{Local, NaiveDate, NaiveDateTime, NaiveTime, TimeZone as _};
use filter::ParseOptions;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use store::Packing;
use store::rotate::SubDirs;
use toml::value::Datetime;

/// What the reading of definitions depends on besides their text.
#[derive(Clone, Copy)]
pub struct Reading<'a> {
    /// What filters may look up.
    pub filters: &'a ParseOptions<'a>,
    /// Reads the file of a filter.
    pub read: &'a dyn Fn(&Path) -> io::Result<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    data: PathBuf,
    stats: Option<PathBuf>,
    interval: Option<u32>,
    subdirs: Option<u8>,
    #[serde(default)]
    sources: BTreeMap<String, PathBuf>,
    #[serde(default, rename = "profile")]
    profiles: Vec<ProfileText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProfileText {
    name: String,
    group: Option<String>,
    start: Option<Datetime>,
    end: Option<Datetime>,
    archive: Option<bool>,
    compress: Option<String>,
    #[serde(default)]
    ports: u32,
    #[serde(default, rename = "channel")]
    channels: Vec<ChannelText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChannelText {
    name: String,
    #[serde(default)]
    sources: Vec<String>,
    #[serde(default)]
    idents: Vec<String>,
    #[serde(default)]
    exporters: Vec<String>,
    filter: Option<String>,
    #[serde(rename = "filter-file")]
    filter_file: Option<PathBuf>,
}

/// Days that ports are kept at most: a file for each slot.
const MAX_PORT_DAYS: u32 = 31;

impl Profiles {
    /// Reads definitions. Relative names of directories and files are relative to that of `path`.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn parse(text: &str, path: &Path, reading: &Reading<'_>) -> Result<Self, ProfileError> {
        let wrong = |what: String| ProfileError::Config { path: path.to_owned(), what };
        let document: Document = toml::from_str(text).map_err(|e| wrong(told(text, &e)))?;
        let here = path.parent().unwrap_or_else(|| Path::new(""));
        let interval = document.interval.unwrap_or(DEFAULT_INTERVAL);
        if !(1..=86_400).contains(&interval) {
            return Err(wrong(format!("interval = {interval}: 1 to 86400 seconds")));
        }
        let subdirs = document.subdirs.unwrap_or(0);
        let sub_dirs = SubDirs::new(subdirs)
            .ok_or_else(|| wrong(format!("subdirs = {subdirs}: 0 to 8, as flowcapd -S")))?;
        let sources: Vec<Source> = document
            .sources
            .into_iter()
            .map(|(name, dir)| Source { name, dir: here.join(dir) })
            .collect();
        let data = here.join(document.data);
        let stats = document.stats.map_or_else(|| data.clone(), |stats| here.join(stats));
        let mut all = Self { data, stats, interval, sub_dirs, sources, profiles: Vec::new() };
        for text in document.profiles {
            let profile = all.profile(text, path, reading)?;
            all.profiles.push(profile);
        }
        all.check(path)?;
        Ok(all)
    }

    fn profile(
        &self,
        text: ProfileText,
        path: &Path,
        reading: &Reading<'_>,
    ) -> Result<Profile, ProfileError> {
        let whose = format!("profile '{}'", text.name);
        let wrong = |what: String| ProfileError::Config {
            path: path.to_owned(),
            what: format!("{whose}: {what}"),
        };
        let fine = |name: &str| check_name(name).map_err(|e| wrong(format!("'{name}': {e}")));
        fine(&text.name)?;
        let group = text.group.unwrap_or_else(|| ".".to_owned());
        if group != "." {
            fine(&group)?;
        }
        let time = |key: &str, at: Option<Datetime>| {
            at.map(|at| {
                moment(&at).ok_or_else(|| wrong(format!("{key} = {at}: write 2026-11-21T10:15:00")))
            })
            .transpose()
        };
        let span = Span { start: time("start", text.start)?, end: time("end", text.end)? };
        if let (Some(start), Some(end)) = (span.start, span.end)
            && end <= start
        {
            return Err(wrong("it ends before it starts".into()));
        }
        let packing: Option<Packing> =
            text.compress.map(|c| c.parse()).transpose().map_err(|e| wrong(format!("{e}")))?;
        if text.ports > MAX_PORT_DAYS {
            let ports = text.ports;
            return Err(wrong(format!("ports = {ports}: days to keep, {MAX_PORT_DAYS} at most")));
        }
        if text.channels.is_empty() {
            return Err(wrong("it has no channel: add [[profile.channel]]".into()));
        }
        let channel = |c: ChannelText| self.channel(c, &text.name, path, reading);
        let channels = text.channels.into_iter().map(channel).collect::<Result<_, _>>()?;
        Ok(Profile {
            group,
            name: text.name.clone(),
            span,
            archive: text.archive.unwrap_or(true),
            counters: true,
            packing,
            ports: text.ports,
            channels,
        })
    }

    fn channel(
        &self,
        text: ChannelText,
        profile: &str,
        path: &Path,
        reading: &Reading<'_>,
    ) -> Result<Channel, ProfileError> {
        let whose = format!("profile '{profile}', channel '{}'", text.name);
        let wrong = |what: String| ProfileError::Config {
            path: path.to_owned(),
            what: format!("{whose}: {what}"),
        };
        check_name(&text.name).map_err(|e| wrong(e.into()))?;
        let index = |name: &String| {
            self.sources.iter().position(|s| s.name == *name).ok_or_else(|| {
                let known: Vec<&str> = self.sources.iter().map(|s| s.name.as_str()).collect();
                wrong(match known.is_empty() {
                    true => {
                        format!("source '{name}': there is no [sources] (or did you mean idents?)")
                    }
                    false => format!("source '{name}' is none of {}", known.join(", ")),
                })
            })
        };
        let sources = text.sources.iter().map(index).collect::<Result<_, _>>()?;
        if let Some(odd) = text.exporters.iter().find(|e| e.parse::<std::net::IpAddr>().is_err()) {
            return Err(wrong(format!("exporter '{odd}' is no address")));
        }
        if let Some(odd) = text.idents.iter().find(|i| !is_word(i)) {
            return Err(wrong(format!("ident '{odd}': it has blanks or parentheses")));
        }
        let (body, file) = match (text.filter, text.filter_file) {
            (Some(_), Some(_)) => return Err(wrong("filter and filter-file: give one".into())),
            (Some(body), None) => (body, path.to_owned()),
            (None, None) => (String::new(), path.to_owned()),
            (None, Some(name)) => {
                let file = path.parent().unwrap_or_else(|| Path::new("")).join(name);
                let body = (reading.read)(&file).map_err(ProfileError::io("read", &file))?;
                (body, file)
            }
        };
        let (text, filter) = term(&text.idents, &text.exporters, &body, reading.filters)
            .map_err(|source| ProfileError::Filter { path: file, whose: whose.clone(), source })?;
        let name = whose.rsplit('\'').nth(1).unwrap_or_default().to_owned();
        Ok(Channel { name, sources, text, filter })
    }
}

/// Idents stand in filters without quotes.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| ('!'..='~').contains(&c) && !"()[]{}#\"'".contains(c))
}

/// What toml says, in one line, with the place.
fn told(text: &str, e: &toml::de::Error) -> String {
    let at = e.span().map_or(0, |s| s.start);
    let line = text.get(..at).map_or(1, |t| 1 + t.matches('\n').count());
    format!("line {line}: {}", e.message().lines().collect::<Vec<_>>().join("; "))
}

/// A moment in seconds since 1970; without an offset in local time, without a time at midnight.
fn moment(at: &Datetime) -> Option<u64> {
    let date = at.date?;
    let day = NaiveDate::from_ymd_opt(date.year.into(), date.month.into(), date.day.into())?;
    let time = match at.time {
        Some(t) => {
            NaiveTime::from_hms_opt(t.hour.into(), t.minute.into(), t.second.unwrap_or(0).into())?
        }
        None => NaiveTime::MIN,
    };
    let secs = match at.offset {
        Some(toml::value::Offset::Z) => day.and_time(time).and_utc().timestamp(),
        Some(toml::value::Offset::Custom { minutes }) => {
            day.and_time(time).and_utc().timestamp() - i64::from(minutes) * 60
        }
        None => return local_secs(day.and_time(time)),
    };
    u64::try_from(secs).ok()
}

/// A local time in seconds since 1970; the first one where the clock shows it twice.
pub(crate) fn local_secs(time: NaiveDateTime) -> Option<u64> {
    let later = |t: NaiveDateTime| Local.from_local_datetime(&t).earliest();
    // A time that the clock skips is that an hour later.
    let found = later(time).or_else(|| later(time + chrono::Duration::hours(1)))?;
    u64::try_from(found.timestamp()).ok()
}

impl Profiles {
    /// Reads a line that NfSen gives to nfprofile:
    /// `GROUP#PROFILE#TYPE#CHANNEL#SOURCE|SOURCE...`. The filter is in
    /// `stats/GROUP/PROFILE/CHANNEL-SUFFIX`; 4 in the type says that no flows are kept, 8 that none
    /// are counted (alerts). Sources are idents; `*` or nothing means all.
    ///
    /// # Errors
    /// Why there is no such channel, as nfprofile does: others go on.
    pub fn add_line(
        &mut self,
        line: &str,
        suffix: &str,
        packing: Packing,
        reading: &Reading<'_>,
    ) -> Result<(), ProfileError> {
        let wrong = |what: String| ProfileError::Config { path: "standard input".into(), what };
        let parts: Vec<&str> = line.split('#').collect();
        let [group, name, kind, channel, sources, ..] = parts.as_slice() else {
            return Err(wrong(format!("'{line}': incomplete line, channel skipped")));
        };
        for name in [name, channel].into_iter().chain((*group != ".").then_some(group)) {
            check_name(name).map_err(|e| wrong(format!("'{name}': {e}")))?;
        }
        let kind: u32 =
            kind.parse().map_err(|_| wrong(format!("'{kind}' is no type: channel skipped")))?;
        let at = self.profiles.iter().position(|p| p.group == *group && p.name == *name);
        let at = at.unwrap_or_else(|| {
            self.profiles.push(Profile {
                group: (*group).to_owned(),
                name: (*name).to_owned(),
                span: Span::default(),
                archive: kind & 4 == 0,
                counters: kind & 8 == 0,
                packing: Some(packing),
                ports: 0,
                channels: Vec::new(),
            });
            self.profiles.len() - 1
        });
        let Some(profile) = self.profiles.get(at) else { return Ok(()) };
        let (data, stats) = (self.data_dir(profile), self.stats_dir(profile));
        if !data.join(channel).is_dir() {
            return Err(wrong(format!("channel '{channel}' of profile '{name}' has no directory")));
        }
        let file = stats.join(format!("{channel}-{suffix}"));
        let text = (reading.read)(&file).map_err(ProfileError::io("read", &file))?;
        let all = sources.split('|').filter(|s| !s.is_empty() && *s != "*");
        let idents: Vec<String> = all.map(str::to_owned).collect();
        if let Some(odd) = idents.iter().find(|i| !is_word(i)) {
            return Err(wrong(format!("source '{odd}' is no ident")));
        }
        let whose = format!("channel '{channel}' of profile '{name}' in group '{group}'");
        let (text, filter) = term(&idents, &[], &text, reading.filters)
            .map_err(|source| ProfileError::Filter { path: file, whose, source })?;
        let channel = Channel { name: (*channel).to_owned(), sources: Vec::new(), text, filter };
        if let Some(profile) = self.profiles.get_mut(at)
            && profile.channels.iter().all(|c| c.name != channel.name)
        {
            profile.channels.push(channel);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Profiles, ProfileError> {
        let reading = Reading {
            filters: &ParseOptions::default(),
            read: &|path| match path.ends_with("web.filter") {
                true => Ok("port 80".into()),
                false => Err(io::ErrorKind::NotFound.into()),
            },
        };
        Profiles::parse(text, Path::new("etc/profiles.toml"), &reading)
    }

    const WHOLE: &str = r#"
        data = "/d"
        stats = "s"
        interval = 60
        subdirs = 1
        [sources]
        core = "/flows/core"
        edge = "flows/edge"
        [[profile]]
        name = "web"
        group = "customers"
        start = 2026-11-21T10:00:00Z
        end = 2026-11-21T12:00:00+01:00
        archive = false
        compress = "zstd:3"
        ports = 2
        [[profile.channel]]
        name = "in"
        sources = ["edge"]
        idents = ["a", "b"]
        exporters = ["192.0.2.1"]
        filter = "dst port 80"
        [[profile.channel]]
        name = "all"
        filter-file = "web.filter"
    "#;

    #[test]
    fn everything_that_can_be_said() {
        let all = parse(&WHOLE.replace("12:00:00+01", "13:00:00+01")).unwrap();
        assert_eq!((all.data.as_path(), all.stats.as_path()), ("/d".as_ref(), "etc/s".as_ref()));
        assert_eq!((all.interval, all.sub_dirs.pattern()), (60, "%Y/%m/%d"));
        assert_eq!(all.sources[1].dir, Path::new("etc/flows/edge"));
        let web = &all.profiles[0];
        assert_eq!(web.to_string(), "customers/web");
        assert_eq!(web.span, Span { start: Some(1_795_255_200), end: Some(1_795_262_400) });
        assert!(!web.archive && web.ports == 2 && web.packing == Some("zstd:3".parse().unwrap()));
        assert_eq!(web.channels[0].sources, [1]);
        let want = "(ident a or ident b) and (router ip 192.0.2.1) and (dst port 80)";
        assert_eq!(web.channels[0].text, want);
        assert_eq!(
            (web.channels[1].name.as_str(), web.channels[1].text.as_str()),
            ("all", "port 80")
        );
        assert_eq!(all.data_dir(web), Path::new("/d/customers/web"));
        assert_eq!(
            (all.find("web"), all.find("customers/web"), all.find("x")),
            (Some(0), Some(0), None)
        );
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let change = |from: &str, to: &str| {
            let text = WHOLE.replace("12:00:00+01", "13:00:00+01");
            assert!(text.contains(from), "{from}");
            parse(&text.replace(from, to)).unwrap_err().to_string()
        };
        for (from, to, want) in [
            ("data = \"/d\"", "", "missing field `data`"),
            ("stats", "stat", "line 3: unknown field `stat`"),
            ("60", "0", "interval = 0: 1 to 86400 seconds"),
            ("subdirs = 1", "subdirs = 9", "subdirs = 9: 0 to 8"),
            ("\"web\"", "\"we b\"", "profile 'we b': 'we b': a name has letters"),
            ("\"customers\"", "\"../x\"", "profile 'web': '../x': a name has"),
            ("2026-11-21T10", "2026-11-22T10", "profile 'web': it ends before it starts"),
            ("2026-11-21T10:00:00Z", "\"x\"", "line 12: invalid type: string"),
            ("2026-11-21T10:00:00Z", "10:00:00", "start = 10:00:00: write 2026-11-21T10:15:00"),
            ("zstd:3", "gzip", "profile 'web': unknown compression `gzip`"),
            ("ports = 2", "ports = 99", "ports = 99: days to keep, 31 at most"),
            ("[\"edge\"]", "[\"egde\"]", "channel 'in': source 'egde' is none of core, edge"),
            ("192.0.2.1", "gateway", "channel 'in': exporter 'gateway' is no address"),
            ("\"a\"", "\"a b\"", "channel 'in': ident 'a b'"),
            ("dst port 80", "dst prot 80", "filter of profile 'web', channel 'in': "),
            ("web.filter", "no.filter", "read etc/no.filter"),
            ("filter-file", "filter = \"any\"\nfilter-file", "filter and filter-file: give one"),
            ("\"all\"", "\"in\"", "profile customers/web has two channels 'in'"),
        ] {
            let told = change(from, to);
            assert!(told.contains(want), "{from} -> {to}: {told}");
            assert!(told.contains("etc/"), "{told}");
        }
        let two = "data='d'\n[[profile]]\nname='a'\n[[profile.channel]]\nname='c'\n";
        let again = two.replace("data='d'\n", "");
        let told = parse(&format!("{two}{again}")).unwrap_err().to_string();
        assert!(told.contains("two profiles are called a"), "{told}");
        let grouped = again.replace("name='a'", "name='b'\ngroup='a'");
        let told = parse(&format!("{two}{grouped}")).unwrap_err().to_string();
        assert!(told.contains("a is a profile and a group"), "{told}");
        let told = parse("data='d'\n[[profile]]\nname='a'\n").unwrap_err().to_string();
        assert!(told.contains("it has no channel"), "{told}");
    }

    #[test]
    fn lines_of_nfsen() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("p/c")).unwrap();
        std::fs::create_dir_all(dir.path().join("g/q/d")).unwrap();
        let reading = Reading {
            filters: &ParseOptions::default(),
            read: &|path| match path.ends_with("p/c-filter.txt") {
                true => Ok("proto tcp\n".into()),
                false => Ok("nonsense".into()),
            },
        };
        let mut all = Profiles {
            data: dir.path().into(),
            stats: "/s".into(),
            interval: 300,
            sub_dirs: SubDirs::NONE,
            sources: Vec::new(),
            profiles: Vec::new(),
        };
        let mut add = |line: &str| {
            let added = all.add_line(line, "filter.txt", Packing::default(), &reading);
            added.map_err(|e| e.to_string())
        };
        assert_eq!(add(".#p#6#c#|a||b|"), Ok(()));
        for (line, want) in [
            ("", "incomplete line"),
            (".#p#0#c", "incomplete line"),
            (".#p#x#c#*", "'x' is no type"),
            (".#p#0#e#*", "channel 'e' of profile 'p' has no directory"),
            ("..#p#0#c#*", "'..': a name"),
            ("g#q#0#d#*", "filter of channel 'd' of profile 'q' in group 'g'"),
        ] {
            let told = add(line).unwrap_err();
            assert!(told.contains(want), "{line}: {told}");
        }
        let p = &all.profiles[0];
        assert!(!p.archive && p.counters);
        assert_eq!(p.channels[0].text, "(ident a or ident b) and (proto tcp)");
    }
}
