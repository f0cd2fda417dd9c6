//! One line that is being typed, with what was typed before.

use crate::model::Key;

/// Octets of a line; more is no filter that somebody types.
const MAX: usize = 64 << 10;

/// A line of text with a cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    text: Vec<char>,
    at: usize,
    wrong: Option<String>,
    /// What was typed before, the newest last, and behind it what is typed now.
    lines: Vec<String>,
    line: usize,
}

impl Prompt {
    /// A line that begins with this text, the cursor at its end. `history` has the newest last.
    pub fn new(text: &str, mut history: Vec<String>) -> Self {
        history.retain(|h| h != text);
        let line = history.len();
        history.push(text.to_owned());
        let text: Vec<char> = text.chars().collect();
        Self { at: text.len(), text, wrong: None, lines: history, line }
    }

    /// The text.
    pub fn text(&self) -> String {
        self.text.iter().collect()
    }

    /// Characters before the cursor.
    pub const fn cursor(&self) -> usize {
        self.at
    }

    /// What is wrong with it, in a line.
    pub fn wrong(&self) -> Option<&str> {
        self.wrong.as_deref()
    }

    /// Says that it is wrong, until something else is typed.
    pub fn complain(&mut self, why: String) {
        self.wrong = Some(why);
    }

    /// Types a character; those that do nothing on a screen are left out.
    pub fn insert(&mut self, c: char) {
        let c = if matches!(c, '\n' | '\t') { ' ' } else { c };
        if !c.is_control() && self.text.len() < MAX {
            self.text.insert(self.at, c);
            self.at += 1;
        }
        self.wrong = None;
    }

    /// What a key does.
    pub fn key(&mut self, key: Key) {
        self.wrong = None;
        match key {
            Key::Char(c) => self.insert(c),
            Key::Backspace | Key::Control('h') if self.at > 0 => {
                self.at -= 1;
                self.text.remove(self.at);
            }
            Key::Delete | Key::Control('d') if self.at < self.text.len() => {
                self.text.remove(self.at);
            }
            Key::Left | Key::Control('b') => self.at = self.at.saturating_sub(1),
            Key::Right | Key::Control('f') => self.at = (self.at + 1).min(self.text.len()),
            Key::Home | Key::Control('a') => self.at = 0,
            Key::End | Key::Control('e') => self.at = self.text.len(),
            Key::Control('u') => drop(self.text.drain(..std::mem::take(&mut self.at))),
            Key::Control('k') => self.text.truncate(self.at),
            Key::Control('w') => self.delete_word(),
            Key::Up => self.go(self.line.saturating_sub(1)),
            Key::Down => self.go(self.line + 1),
            _ => {}
        }
    }

    fn delete_word(&mut self) {
        let before = self.text.get(..self.at).unwrap_or_default();
        let end = before.iter().rposition(|c| !c.is_whitespace()).map_or(0, |n| n + 1);
        let word = before.get(..end).unwrap_or_default();
        let from = word.iter().rposition(|c| c.is_whitespace()).map_or(0, |n| n + 1);
        self.text.drain(from..self.at);
        self.at = from;
    }

    /// Shows another line; what was typed stays in the one that is left.
    fn go(&mut self, line: usize) {
        let text = self.text();
        let Some(other) = self.lines.get(line).cloned() else { return };
        if let Some(here) = self.lines.get_mut(self.line) {
            *here = text;
        }
        self.line = line;
        self.text = other.chars().collect();
        self.at = self.text.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(prompt: &mut Prompt, text: &str) {
        text.chars().for_each(|c| prompt.key(Key::Char(c)));
    }

    #[test]
    fn editing() {
        let mut p = Prompt::new("port 80", Vec::new());
        for (keys, want, at) in [
            (vec![Key::Backspace, Key::Char('8')], "port 88", 7),
            (vec![Key::Left, Key::Left, Key::Char('4')], "port 488", 6),
            (vec![Key::Delete], "port 48", 6),
            (vec![Key::Home, Key::Char('s')], "sport 48", 1),
            (vec![Key::Left, Key::Left, Key::Backspace], "sport 48", 0),
            (vec![Key::Delete], "port 48", 0),
            (vec![Key::End, Key::Right, Key::Delete], "port 48", 7),
            (vec![Key::Control('w')], "port ", 5),
            (vec![Key::Control('w')], "", 0),
            (vec![Key::Control('w'), Key::Backspace, Key::Char('ä'), Key::Char('b')], "äb", 2),
            (vec![Key::Left, Key::Control('k')], "ä", 1),
            (vec![Key::Control('u'), Key::Tab, Key::Char('\u{1b}')], "", 0),
        ] {
            keys.iter().for_each(|k| p.key(*k));
            assert_eq!((p.text().as_str(), p.cursor()), (want, at), "{keys:?}");
        }
    }

    #[test]
    fn history_keeps_what_is_being_typed() {
        let mut p = Prompt::new("", vec!["a".to_owned(), "b".to_owned()]);
        typed(&mut p, "new");
        for (key, want) in [
            (Key::Up, "b"),
            (Key::Up, "a"),
            (Key::Up, "a"),
            (Key::Down, "b"),
            (Key::Down, "new"),
            (Key::Down, "new"),
        ] {
            p.key(key);
            assert_eq!(p.text(), want);
        }
        p.complain("wrong".to_owned());
        assert_eq!(p.wrong(), Some("wrong"));
        p.key(Key::Left);
        assert_eq!(p.wrong(), None);
    }
}
