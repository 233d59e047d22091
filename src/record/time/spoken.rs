//! Times as people, portals and spreadsheets write them: `19/11/2026, 08:49:37.587`, `05.11.2026 15:04`,
//! `Nov 5, 2026 3:04 PM`, `5 Nov 2026`, `20261105T150405Z`, `2026/11/5 下午3:04:05`.
//!
//! Reads the parts and settles nothing: where day and month could change places, [`Spoken::date`] says so.

/// The longest text that can be a time.
const LONGEST: usize = 100;

/// A time's parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spoken {
    pub date: Date,
    /// Seconds of the day.
    pub clock: i64,
    pub nanos: u32,
    pub finer: bool,
    /// Seconds east of UTC, where the text says so.
    pub offset: Option<i64>,
}

/// A date as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Date {
    /// Year, month, day.
    Certain(i64, i64, i64),
    /// Two numbers and a year: day and month, or month and day.
    Either {
        first: i64,
        second: i64,
        year: i64,
        /// Between dots, as only countries write it that put the day first.
        dots: bool,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token<'t> {
    Number(&'t str),
    Word(&'t str),
    Sign(char),
}

/// Reads a time of the day with its date; `None` where the text is something else, or a date alone.
pub(super) fn read(text: &str) -> Option<Spoken> {
    if text.len() > LONGEST || !text.bytes().any(|b| b.is_ascii_digit()) {
        return None;
    }
    let text = plain(text);
    let mut tokens = Tokens { tokens: tokens(&text), at: 0 };
    let mut date = tokens.date()?;
    while tokens.sign(&[',']) || tokens.word(&["t", "at", "um", "kl"]) {}
    let before = tokens.half_of_day();
    let (hour, minute, second, nanos, finer) = tokens.time()?;
    let hour = match before.or_else(|| tokens.half_of_day()) {
        None => hour,
        Some(afternoon) if (1..=12).contains(&hour) => hour % 12 + if afternoon { 12 } else { 0 },
        // Some writers put PM behind a clock of 24 hours; it says nothing new.
        Some(true) if (13..24).contains(&hour) => hour,
        Some(_) => return None,
    };
    tokens.word(&["uhr"]);
    let offset = tokens.offset()?;
    if let Unfinished::Year(month, day) = date {
        date = Unfinished::Date(Date::Certain(tokens.year()?, month, day));
    }
    let Unfinished::Date(date) = date else { return None };
    let clock = super::clock(hour, minute, second)?;
    (tokens.at == tokens.tokens.len()).then_some(Spoken { date, clock, nanos, finer, offset })
}

/// A date that may still lack its year (`Thu Nov 5 15:04:05 2026`).
enum Unfinished {
    Date(Date),
    Year(i64, i64),
}

/// Lower case; one kind of space; halves of the day and signs of dates as one kind each; no name of a zone in brackets.
fn plain(text: &str) -> String {
    let text = text.split('(').next().unwrap_or_default().to_lowercase();
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' => {}
            '\u{2212}' => out.push('-'),
            '年' | '月' | '년' | '월' => out.push('/'),
            '日' | '일' => out.push(' '),
            c if c.is_whitespace() => out.push(' '),
            c => out.push(c),
        }
    }
    for (written, half) in [
        ("a. m.", " am "),
        ("p. m.", " pm "),
        ("a.m.", " am "),
        ("p.m.", " pm "),
        ("上午", " am "),
        ("下午", " pm "),
        ("午前", " am "),
        ("午後", " pm "),
        ("오전", " am "),
        ("오후", " pm "),
    ] {
        if out.contains(written) {
            out = out.replace(written, half);
        }
    }
    out
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let run = |of: fn(char) -> bool| rest.find(|c| !of(c)).unwrap_or(rest.len());
        let (token, length) = if c.is_ascii_digit() {
            let end = run(|c| c.is_ascii_digit());
            (Some(Token::Number(&rest[..end])), end)
        } else if c.is_alphabetic() {
            let end = run(char::is_alphabetic);
            (Some(Token::Word(&rest[..end])), end)
        } else {
            ((c != ' ').then_some(Token::Sign(c)), c.len_utf8())
        };
        tokens.extend(token);
        rest = &rest[length..];
    }
    tokens
}

struct Tokens<'t> {
    tokens: Vec<Token<'t>>,
    at: usize,
}

impl<'t> Tokens<'t> {
    fn peek(&self, ahead: usize) -> Option<&Token<'t>> {
        self.tokens.get(self.at + ahead)
    }

    fn sign(&mut self, signs: &[char]) -> bool {
        let there = matches!(self.peek(0), Some(Token::Sign(sign)) if signs.contains(sign));
        self.at += usize::from(there);
        there
    }

    fn word(&mut self, words: &[&str]) -> bool {
        let there = matches!(self.peek(0), Some(Token::Word(word)) if words.contains(word));
        self.at += usize::from(there);
        there
    }

    /// A number of at most so many digits.
    fn digits(&mut self, most: usize) -> Option<&'t str> {
        let Some(Token::Number(text)) = self.peek(0) else { return None };
        let text = *text;
        (text.len() <= most).then(|| {
            self.at += 1;
            text
        })
    }

    fn number(&mut self, most: usize) -> Option<i64> {
        super::digits(self.digits(most)?.as_bytes())
    }

    fn month(&mut self) -> Option<i64> {
        let Some(Token::Word(word)) = self.peek(0) else { return None };
        let month = month(word)?;
        self.at += 1;
        Some(month)
    }

    /// A year of four digits, or of two in this century.
    fn year(&mut self) -> Option<i64> {
        match self.digits(4)? {
            text if text.len() == 4 => super::digits(text.as_bytes()),
            text if text.len() == 2 => Some(2000 + super::digits(text.as_bytes())?),
            _ => None,
        }
    }

    fn date(&mut self) -> Option<Unfinished> {
        if matches!(self.peek(0), Some(Token::Word(word)) if is_weekday(word)) {
            self.at += 1;
            self.sign(&['.']);
            self.sign(&[',']);
        }
        if let Some(month) = self.month() {
            return self.date_after_month(month);
        }
        let Some(Token::Number(first)) = self.peek(0) else { return None };
        let first = *first;
        self.at += 1;
        if first.len() == 8 {
            let part = |range: std::ops::Range<usize>| super::digits(first.get(range)?.as_bytes());
            return Some(Unfinished::Date(Date::Certain(part(0..4)?, part(4..6)?, part(6..8)?)));
        }
        let sign = match self.peek(0) {
            Some(Token::Sign(sign @ ('/' | '.' | '-'))) => Some(*sign),
            _ => None,
        };
        self.at += usize::from(sign.is_some());
        self.word(&["de"]);
        let number = super::digits(first.as_bytes())?;
        if let Some(month) = self.month() {
            return self.date_around_month(first.len(), number, month);
        }
        let sign = sign?;
        let second = self.number(2)?;
        if !self.sign(&[sign]) {
            return None;
        }
        let date = if first.len() == 4 {
            Date::Certain(number, second, self.number(2)?)
        } else if first.len() <= 2 {
            Date::Either { first: number, second, year: self.year()?, dots: sign == '.' }
        } else {
            return None;
        };
        // Korean dates end in a dot.
        let _ = sign == '.' && self.sign(&['.']);
        Some(Unfinished::Date(date))
    }

    /// `Nov 5, 2026` and `Nov 5` before a time and the year.
    fn date_after_month(&mut self, month: i64) -> Option<Unfinished> {
        while self.sign(&['.', '-']) {}
        let day = self.number(2)?;
        while self.sign(&['.', ',', '-']) {}
        let year_last = matches!(self.peek(1), Some(Token::Sign(':')));
        if year_last {
            return Some(Unfinished::Year(month, day));
        }
        Some(Unfinished::Date(Date::Certain(self.year()?, month, day)))
    }

    /// `5 Nov 2026` and `2026-Nov-5`.
    fn date_around_month(&mut self, digits: usize, number: i64, month: i64) -> Option<Unfinished> {
        while self.sign(&['.', '-', '/', ',']) || self.word(&["de", "del"]) {}
        Some(Unfinished::Date(if digits == 4 {
            Date::Certain(number, month, self.number(2)?)
        } else {
            Date::Certain(self.year()?, month, Some(number).filter(|_| digits <= 2)?)
        }))
    }

    /// Whether a word says afternoon.
    fn half_of_day(&mut self) -> Option<bool> {
        if self.word(&["am", "a"]) {
            return Some(false);
        }
        self.word(&["pm", "p"]).then_some(true)
    }

    /// Hour, minute, second, nanoseconds, and whether microseconds lose a digit.
    fn time(&mut self) -> Option<(i64, i64, i64, u32, bool)> {
        let hour = self.digits(6)?;
        let part = |range: std::ops::Range<usize>| super::digits(hour.get(range)?.as_bytes());
        let (hour, minute, second) = if matches!(hour.len(), 4 | 6) {
            (part(0..2)?, part(2..4)?, if hour.len() == 6 { part(4..6)? } else { 0 })
        } else {
            let hour = super::digits(hour.as_bytes()).filter(|hour| *hour < 100)?;
            let halved = |t: &Self| matches!(t.peek(0), Some(Token::Word("am" | "pm")));
            if halved(self) {
                return Some((hour, 0, 0, 0, false));
            }
            let sign = if self.sign(&[':']) { ':' } else { self.sign(&['.']).then_some('.')? };
            let minute = self.number(2)?;
            let second = if self.sign(&[sign]) { self.number(2)? } else { 0 };
            (hour, minute, second)
        };
        let (mut nanos, mut finer) = (0, false);
        if self.sign(&['.', ',', ':']) {
            (nanos, finer) = super::nanos_of(self.digits(LONGEST)?.as_bytes());
        }
        Some((hour, minute, second, nanos, finer))
    }

    /// Seconds east of UTC; outer `None` where what stands there is no zone.
    fn offset(&mut self) -> Option<Option<i64>> {
        let named = self.word(&["z", "utc", "gmt"]);
        let negative = match self.peek(0) {
            Some(Token::Sign('+')) => false,
            Some(Token::Sign('-')) => true,
            _ => return Some(named.then_some(0)),
        };
        self.at += 1;
        let hours = self.digits(4)?;
        let (hours, minutes) = match hours.len() {
            4 => (super::digits(&hours.as_bytes()[..2])?, super::digits(&hours.as_bytes()[2..])?),
            1 | 2 => {
                let minutes = if self.sign(&[':']) { self.number(2)? } else { 0 };
                (super::digits(hours.as_bytes())?, minutes)
            }
            _ => return None,
        };
        let seconds = hours * 3600 + minutes * 60;
        (hours < 24 && minutes < 60).then_some(Some(if negative { -seconds } else { seconds }))
    }
}

fn is_weekday(word: &str) -> bool {
    ["mon", "tue", "wed", "thu", "fri", "sat", "sun"].iter().any(|day| word.starts_with(day)) && month(word).is_none()
}

/// Beginnings of the months' names in English and, where these differ, in German, French, Spanish, Italian, Portuguese
/// and Dutch.
const MONTHS: &[(&str, i64)] = &[
    ("jan", 1),
    ("ene", 1),
    ("gen", 1),
    ("feb", 2),
    ("fév", 2),
    ("fev", 2),
    ("mar", 3),
    ("mär", 3),
    ("mrt", 3),
    ("maa", 3),
    ("apr", 4),
    ("avr", 4),
    ("abr", 4),
    ("may", 5),
    ("mai", 5),
    ("mag", 5),
    ("mei", 5),
    ("jun", 6),
    ("juin", 6),
    ("giu", 6),
    ("jul", 7),
    ("juil", 7),
    ("lug", 7),
    ("aug", 8),
    ("aoû", 8),
    ("aou", 8),
    ("ago", 8),
    ("sep", 9),
    ("set", 9),
    ("oct", 10),
    ("okt", 10),
    ("ott", 10),
    ("out", 10),
    ("nov", 11),
    ("dec", 12),
    ("dez", 12),
    ("déc", 12),
    ("dic", 12),
];

fn month(word: &str) -> Option<i64> {
    MONTHS.iter().find(|(name, _)| word.starts_with(name)).map(|(_, month)| *month)
}
