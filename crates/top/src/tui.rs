//! Drawing on a terminal, and its keys.

use crate::model::{Key, Model, Typing};
use crate::view::{self, Look};
use ratatui::Frame;
use ratatui::crossterm::event::{
    self, DisableBracketedPaste, EnableBracketedPaste, KeyCode, KeyEvent, KeyEventKind,
    KeyModifiers,
};
use ratatui::crossterm::execute;
use ratatui::layout::{Constraint, Layout, Position, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Clear, Paragraph, Wrap};
use std::io;
use std::time::Duration;

/// The terminal. It is as it was before when this is dropped, and also when the program panics.
pub struct Screen {
    terminal: ratatui::DefaultTerminal,
    is_open: bool,
}

impl std::fmt::Debug for Screen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Screen").field("is_open", &self.is_open).finish_non_exhaustive()
    }
}

/// What a terminal sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A key.
    Key(Key),
    /// Text that was pasted.
    Paste(String),
    /// Another size.
    Resized,
}

impl Screen {
    /// Takes over the terminal.
    ///
    /// # Errors
    /// If there is none, or it cannot be set.
    pub fn open() -> io::Result<Self> {
        let terminal = ratatui::try_init()?;
        // Terminals that do not know it show pasted text as keys.
        let _ = execute!(io::stdout(), EnableBracketedPaste);
        Ok(Self { terminal, is_open: true })
    }

    /// Gives the terminal back.
    pub fn close(&mut self) {
        if std::mem::take(&mut self.is_open) {
            let _ = execute!(io::stdout(), DisableBracketedPaste);
            let _ = self.terminal.show_cursor();
            // A panic has done so before it spoke. Once more would bring the cursor back to where it
            // was, and what comes next would cover what the panic said.
            if !std::thread::panicking() {
                let _ = ratatui::try_restore();
            }
        }
    }

    /// Takes it over again after [`close`](Self::close).
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn reopen(&mut self) -> io::Result<()> {
        self.close();
        // Without another hook for panics: the first one is still there.
        ratatui::crossterm::terminal::enable_raw_mode()?;
        self.is_open = true;
        execute!(
            io::stdout(),
            ratatui::crossterm::terminal::EnterAlternateScreen,
            EnableBracketedPaste
        )?;
        self.terminal.clear()
    }

    /// Draws everything anew.
    ///
    /// # Errors
    /// If the terminal is gone.
    pub fn clear(&mut self) -> io::Result<()> {
        self.terminal.clear()
    }

    /// Draws the state. Returns how many rows of the table are on the screen.
    ///
    /// # Errors
    /// If the terminal is gone.
    pub fn draw(&mut self, model: &Model, look: &Look) -> io::Result<usize> {
        let mut rows = 0;
        self.terminal.draw(|frame| rows = draw(frame, model, look))?;
        Ok(rows)
    }

    /// What the terminal sends within this time.
    ///
    /// # Errors
    /// If the terminal is gone.
    pub fn input(&mut self, within: Duration) -> io::Result<Option<Input>> {
        if !event::poll(within)? {
            return Ok(None);
        }
        Ok(match event::read()? {
            event::Event::Key(key) => key_of(key).map(Input::Key),
            event::Event::Paste(text) => Some(Input::Paste(text)),
            event::Event::Resize(..) => Some(Input::Resized),
            _ => None,
        })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.close();
    }
}

fn key_of(key: KeyEvent) -> Option<Key> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    Some(match key.code {
        KeyCode::Char(c) if key.modifiers.contains(KeyModifiers::CONTROL) => {
            Key::Control(c.to_ascii_lowercase())
        }
        KeyCode::Char(_) if key.modifiers.contains(KeyModifiers::ALT) => return None,
        KeyCode::Char(c) => Key::Char(c),
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Delete => Key::Delete,
        KeyCode::Tab => Key::Tab,
        KeyCode::BackTab => Key::BackTab,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        _ => return None,
    })
}

/// Draws the state into a frame of any size. Returns how many rows of the table are in it.
pub fn draw(frame: &mut Frame<'_>, model: &Model, look: &Look) -> usize {
    let area = frame.area();
    let width = usize::from(area.width);
    let header = view::header(model, look, width);
    let above = Constraint::Length(header.len() as u16);
    let [top, heading, body, bottom] = Layout::vertical([
        above,
        Constraint::Length(1),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(area);
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let is_loss = |text: &str| text.contains("LOST") || text.contains("unreadable");
    let line = |(n, text): (usize, String)| match n {
        0 => Line::styled(text, bold),
        _ if is_loss(&text) => Line::styled(text, coloured(look, Color::Red).patch(bold)),
        _ => Line::raw(text),
    };
    let header: Vec<Line<'_>> = header.into_iter().enumerate().map(line).collect();
    frame.render_widget(Paragraph::new(header), top);
    let table = view::rows(model, look, width);
    let reversed = Style::new().add_modifier(Modifier::REVERSED);
    frame.render_widget(Paragraph::new(Line::styled(table.heading, reversed)), heading);
    rows(frame, body, model, look, table.rows);
    last_line(frame, bottom, model, look);
    if model.shows_help() {
        help(frame, area);
    }
    usize::from(body.height)
}

/// The part of the rows that has the cursor in it.
fn rows(frame: &mut Frame<'_>, area: Rect, model: &Model, look: &Look, rows: Vec<String>) {
    let height = usize::from(area.height).max(1);
    let selected = model.selected();
    let first = (selected + 1).saturating_sub(height);
    let has_rows = model.answer().is_some_and(|a| !a.lines.is_empty());
    let row = |(n, text): (usize, String)| match n == selected && has_rows {
        true => Line::styled(text, cursor(look)),
        false => Line::raw(text),
    };
    let mut lines: Vec<Line<'_>> =
        rows.into_iter().enumerate().skip(first).take(height).map(row).collect();
    if lines.is_empty() {
        lines.push(Line::raw("no flows in this window"));
    }
    frame.render_widget(Paragraph::new(lines), area);
}

fn cursor(look: &Look) -> Style {
    match look.colour {
        true => Style::new().fg(Color::Black).bg(Color::Cyan),
        false => Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED),
    }
}

fn coloured(look: &Look, colour: Color) -> Style {
    if look.colour { Style::new().fg(colour) } else { Style::new() }
}

/// What is being typed, what is wrong, or the keys.
fn last_line(frame: &mut Frame<'_>, area: Rect, model: &Model, look: &Look) {
    let wrong = coloured(look, Color::Red).add_modifier(Modifier::BOLD);
    let (title, prompt) = match (model.typing(), model.trouble()) {
        (Some(Typing::Filter(prompt)), _) => ("filter: ", prompt),
        (Some(Typing::Element(prompt)), _) => ("element: ", prompt),
        (None, Some(trouble)) => {
            return frame.render_widget(Paragraph::new(Line::styled(trouble, wrong)), area);
        }
        (None, None) => return frame.render_widget(Paragraph::new(view::HINTS), area),
    };
    let room = usize::from(area.width).saturating_sub(title.len() + 1);
    let skipped = prompt.cursor().saturating_sub(room);
    let text: String = prompt.text().chars().skip(skipped).take(room + 1).collect();
    let at = title.len() + prompt.cursor() - skipped;
    let line = Line::from(vec![Span::raw(title), Span::raw(text)]);
    frame.render_widget(Paragraph::new(line), area);
    if let Some(why) = prompt.wrong() {
        let columns = usize::from(area.width).max(1);
        // Words that go to the next line leave some room.
        let height = (why.chars().count() / columns + 2).min(5).min(usize::from(area.y)) as u16;
        let above = Rect { y: area.y - height, height, ..area };
        frame.render_widget(Clear, above);
        let text = Paragraph::new(Line::styled(why, wrong)).wrap(Wrap { trim: true });
        frame.render_widget(text, above);
    }
    let last = area.right().saturating_sub(1);
    let x = area.x.saturating_add(u16::try_from(at).unwrap_or(u16::MAX)).min(last);
    frame.set_cursor_position(Position { x, y: area.y });
}

fn help(frame: &mut Frame<'_>, area: Rect) {
    let line = |(keys, what): &(&str, &str)| Line::raw(format!(" {keys:<17}{what}"));
    let mut lines = vec![Line::raw(""), Line::raw(" Keys; any key closes this."), Line::raw("")];
    lines.extend(view::HELP.iter().map(line));
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(Text::from(lines)), area);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counter::{Answer, Line as Row, Lost};
    use crate::model::{Ask, Event};
    use crate::window::Sums;
    use query::{Grouping, KeyText};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use record::Field;

    const LOOK: Look = Look { colour: true, unicode: true, clock: |_| "22:30:00".to_owned() };

    fn model(rows: u64) -> Model {
        let check = |text: &str| filter::Filter::parse(text).map(|_| ()).map_err(|e| e.to_string());
        let mut model = Model::new(Ask::default(), Grouping::five_tuple(), Box::new(check));
        let row = |n: u64| Row {
            parts: vec![KeyText { field: Some(Field::SrcAddr), text: format!("192.0.2.{n}") }],
            filter: Some(format!("host 192.0.2.{n}")),
            sums: Sums { flows: 100 - n, packets: 20_000 / (n + 1), bytes: 3_000_000 / (n + 1) },
            history: (0..61).map(|i| i * n).collect(),
        };
        let answer = Answer {
            now_ms: 1_800_000_300_000,
            newest_ms: 1_800_000_298_800,
            span_ms: 300_000,
            bin_ms: 5000,
            lines: (0..rows).map(row).collect(),
            keys: rows as usize,
            total: Sums { flows: 4711, packets: 123_456, bytes: 10_000_000 },
            history: (0..61).collect(),
            is_complete: true,
            files: crate::FilesRead { files: 3, open: 1, ..Default::default() },
            lost: vec![Lost { place: "kernel", unit: "datagrams".to_owned(), count: 17 }],
            ..Answer::default()
        };
        model.update(Event::Answer(Box::new(answer)));
        model
    }

    fn drawn(model: &Model, look: &Look, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| _ = draw(frame, model, look)).unwrap();
        let buffer = terminal.backend().buffer();
        let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        (0..height).map(|y| row(y).trim_end().to_owned()).collect()
    }

    #[test]
    fn a_usual_terminal() {
        let got = drawn(&model(3), &LOOK, 80, 10);
        let want = [
            "flowtop  ip by bytes  last 5m  every 2s                                 22:30:00",
            "4711 flows  123.4 k packets  10.0 MB  266.6 kbit/s  411 pkt/s  ▁▁▂▂▃▃▄▄▄▅▅▆▇▇███",
            "3 files (1 open)  newest 1.2 s ago  3 keys  LOST 17 datagrams (kernel)",
            "Filter: any",
            "ip                 Flows  Packets   Bytes↓      bps      pps  Share      History",
            "192.0.2.0            100    20000    3.0 M    80000       66  30.0%",
            "192.0.2.1             99    10000    1.5 M    40000       33  15.0% ▁▁▂▃▄▄▅▆▆▇██",
            "192.0.2.2             98     6666    1.0 M    26666       22  10.0% ▁▁▂▃▄▄▅▆▆▇██",
            "",
            "?:help e:element o:order /:filter w:window Enter:into Backspace:back q:quit",
        ];
        for (n, (got, want)) in got.iter().zip(want).enumerate() {
            assert_eq!(got, want, "line {n}");
        }
    }

    #[test]
    fn any_size_and_state_can_be_drawn() {
        let mut models = vec![model(0), model(40)];
        let mut typing = model(2);
        typing.update(Event::Key(Key::Char('/')));
        "prot äöü".chars().for_each(|c| drop(typing.update(Event::Key(Key::Char(c)))));
        typing.update(Event::Key(Key::Enter));
        models.push(typing);
        let mut help = model(1);
        help.update(Event::Key(Key::Char('?')));
        models.push(help);
        let mut failed = model(1);
        failed.update(Event::Failed("gone".to_owned()));
        models.push(failed);
        let look = Look { colour: false, unicode: false, ..LOOK };
        for model in &models {
            for (width, height) in
                [(1, 1), (3, 2), (10, 4), (20, 5), (40, 6), (80, 24), (200, 60), (300, 3)]
            {
                let lines = drawn(model, &look, width, height);
                let is_typed = |c: char| "äöü".contains(c);
                let is_plain = |l: &String| l.chars().all(|c| c.is_ascii() || is_typed(c));
                assert!(lines.iter().all(is_plain), "{lines:?}");
            }
        }
    }

    #[test]
    fn what_is_typed_and_what_is_wrong_with_it_are_shown() {
        let mut m = model(2);
        m.update(Event::Key(Key::Char('/')));
        "prot tcp".chars().for_each(|c| drop(m.update(Event::Key(Key::Char(c)))));
        assert_eq!(drawn(&m, &LOOK, 60, 12)[11], "filter: prot tcp");
        m.update(Event::Key(Key::Enter));
        let lines = drawn(&m, &LOOK, 60, 12);
        let said = lines[8..11].join(" ");
        assert!(said.contains("found `prot`"), "{lines:?}");
        assert_eq!(lines[11], "filter: prot tcp");
        // A line that is longer than the screen shows its end.
        (0..100).for_each(|_| drop(m.update(Event::Key(Key::Char('x')))));
        let lines = drawn(&m, &LOOK, 60, 12);
        assert!(lines[11].ends_with("xxx") && lines[11].starts_with("filter: x"), "{lines:?}");
    }

    #[test]
    fn the_cursor_is_always_in_sight() {
        let mut m = model(40);
        for (key, want) in [(Key::End, 39), (Key::Home, 0), (Key::Down, 1)] {
            m.update(Event::Key(key));
            let lines = drawn(&m, &LOOK, 80, 12);
            let here = format!("192.0.2.{want} ");
            assert!(lines.iter().any(|l| l.starts_with(&here)), "{want}: {lines:#?}");
        }
    }

    #[test]
    fn without_colours_there_are_none() {
        let look = Look { colour: false, ..LOOK };
        let mut terminal = Terminal::new(TestBackend::new(80, 12)).unwrap();
        terminal.draw(|frame| _ = draw(frame, &model(3), &look)).unwrap();
        let buffer = terminal.backend().buffer();
        assert!(buffer.content.iter().all(|c| c.fg == Color::Reset && c.bg == Color::Reset));
        terminal.draw(|frame| _ = draw(frame, &model(3), &LOOK)).unwrap();
        assert!(terminal.backend().buffer().content.iter().any(|c| c.bg == Color::Cyan));
    }

    #[test]
    fn all_keys_are_explained() {
        let mut m = model(1);
        m.update(Event::Key(Key::Char('?')));
        let text = drawn(&m, &LOOK, 80, 24).join("\n");
        for (keys, what) in view::HELP {
            assert!(text.contains(keys) && text.contains(what), "{keys}");
        }
    }

    #[test]
    fn keys_of_the_terminal() {
        let key = |code, modifiers| key_of(KeyEvent::new(code, modifiers));
        let none = KeyModifiers::NONE;
        assert_eq!(key(KeyCode::Char('E'), KeyModifiers::SHIFT), Some(Key::Char('E')));
        assert_eq!(key(KeyCode::Char('C'), KeyModifiers::CONTROL), Some(Key::Control('c')));
        assert_eq!(key(KeyCode::Char('x'), KeyModifiers::ALT), None);
        assert_eq!(key(KeyCode::BackTab, KeyModifiers::SHIFT), Some(Key::BackTab));
        assert_eq!(key(KeyCode::F(1), none), None);
        let released =
            KeyEvent { kind: KeyEventKind::Release, ..KeyEvent::new(KeyCode::Enter, none) };
        assert_eq!(key_of(released), None);
    }
}
