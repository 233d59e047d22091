//! The detections that exist: those built in, those of the user's folder, and what the configuration changes of them.
//! Putting a file into `queries/detections` (or the user's folder) is all it takes. Runs nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use datafusion::sql::sqlparser::ast::Statement;
use rust_embed::RustEmbed;

use super::header::{self, Header, Status, is_snake_case};
use super::parameter::{Parameter, RESERVED};
use super::{DetectionError, Place, bind};
use crate::alert::Severity;

#[derive(RustEmbed)]
#[folder = "queries/detections/"]
struct BuiltIn;

/// The largest detection or test file that is read, bytes.
const MAX_FILE: u64 = 1024 * 1024;

/// The most files of a user's folder that are read.
const MAX_FILES: usize = 2000;

const SQL: &str = ".sql";
const TESTS: &str = ".test.toml";

/// Where a detection comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The program.
    BuiltIn,
    /// The user's folder, in place of a built-in of the same name if there is one.
    User,
}

/// The tests beside a detection, not yet read.
#[derive(Debug, Clone)]
pub struct TestFile {
    /// Its path, for messages.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// One detection, checked as far as its own file allows.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its file's name without `.sql`.
    pub id: String,
    /// Its metadata.
    pub header: Header,
    /// The whole text of its file.
    pub sql: String,
    /// Where the file is; built-in ones are named as in the repository.
    pub path: String,
    /// Who supplied it.
    pub origin: Origin,
    /// The tests beside it, if there are any.
    pub tests: Option<TestFile>,
    pub(super) statement: Statement,
    pub(super) values: BTreeMap<String, Parameter>,
}

impl Rule {
    /// Reads a detection from the text of its file.
    ///
    /// # Errors
    /// The header is wrong, the SQL is no query, or the parameters that the one declares and the other uses differ.
    pub fn parse(id: &str, path: &str, text: &str, origin: Origin) -> Result<Self, DetectionError> {
        if !is_snake_case(id) {
            let message =
                format!("'{id}' is no id: name the file in snake case (a to z, digits and _), like mass_read.sql");
            return Err(DetectionError::File { place: Place::file(path), message });
        }
        let header = header::parse(path, text)?;
        let statement = bind::parse(text)
            .map_err(|message| DetectionError::Sql { place: Place::line(path, line_in(&message)), message })?;
        agree(path, text, &header, &statement)?;
        let values = header.parameters.iter().map(|(name, p)| (name.clone(), p.default.clone())).collect();
        let (id, path, sql) = (id.to_owned(), path.to_owned(), text.to_owned());
        Ok(Self { id, header, sql, path, origin, tests: None, statement, values })
    }

    /// The title.
    pub fn title(&self) -> &str {
        &self.header.title
    }

    /// The severity of a finding whose row names none.
    pub fn severity(&self) -> Severity {
        self.header.severity
    }

    /// How far it can be trusted.
    pub fn status(&self) -> Status {
        self.header.status
    }

    /// ATT&CK technique ids.
    pub fn techniques(&self) -> &[String] {
        &self.header.techniques
    }

    /// Its parameters with the values in force.
    pub fn values(&self) -> &BTreeMap<String, Parameter> {
        &self.values
    }

    /// Gives a parameter another value.
    ///
    /// # Errors
    /// There is no such parameter, or the value is of another kind or outside the declared range.
    pub fn set(&mut self, name: &str, value: &toml::Value) -> Result<(), String> {
        let Some(declared) = self.header.parameters.get(name) else {
            let known: Vec<_> = self.header.parameters.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(format!("detection '{}' has no parameter '{name}': it has {known}", self.id));
        };
        let value = Parameter::from_toml(value).and_then(|v| declared.accept(v));
        let value = value.map_err(|e| format!("parameter '{name}' of detection '{}': {e}", self.id))?;
        self.values.insert(name.to_owned(), value);
        Ok(())
    }
}

/// The names that the SQL uses and those that the header declares are the same, apart from the engine's own.
fn agree(path: &str, text: &str, header: &Header, statement: &Statement) -> Result<(), DetectionError> {
    let used = bind::names(statement);
    let declared: BTreeSet<_> = header.parameters.keys().cloned().collect();
    let wrong = |needle: String, message: String| {
        let line = text.find(&needle).map(|offset| header::line_of(text, offset));
        Err(DetectionError::Sql { place: Place::line(path, line), message })
    };
    if let Some(name) = used.iter().find(|name| !declared.contains(*name) && !RESERVED.contains(&name.as_str())) {
        let known: Vec<_> = RESERVED.iter().copied().chain(declared.iter().map(String::as_str)).collect();
        let message =
            format!("${name} is not declared: add it under [parameters], or use one of ${}", known.join(", $"));
        return wrong(format!("${name}"), message);
    }
    if let Some(name) = declared.iter().find(|name| !used.contains(*name)) {
        let message = format!("parameter '{name}' is declared and the SQL does not use ${name}: use it or remove it");
        return wrong(name.clone(), message);
    }
    let has = |name: &str| used.contains(name);
    match header.min_coverage {
        None if has("min_coverage") => {
            wrong("$min_coverage".to_owned(), "$min_coverage needs min_coverage in the header".to_owned())
        }
        Some(_) if !has("min_coverage") => {
            wrong("min_coverage".to_owned(), "min_coverage is in the header and the SQL does not use it".to_owned())
        }
        _ => Ok(()),
    }
}

/// The line in a parser's "… at Line: 12, Column: 3".
pub(super) fn line_in(message: &str) -> Option<usize> {
    let rest = message.split("Line: ").nth(1)?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// A new detection and its cases, to be changed: a whole one that passes its checks.
pub const TEMPLATE: (&str, &str) =
    (include_str!("../../queries/template/rule.sql"), include_str!("../../queries/template/rule.test.toml"));

/// Writes the [`TEMPLATE`] as `dir`/`id`.sql with its cases beside it; gives back both paths. Overwrites nothing.
///
/// # Errors
/// The id is none, the files are there already or cannot be written.
pub fn write_new(dir: &Path, id: &str) -> Result<[PathBuf; 2], DetectionError> {
    let paths = [dir.join(format!("{id}{SQL}")), dir.join(format!("{id}{TESTS}"))];
    let failed = |path: &Path, message: String| DetectionError::File {
        place: Place::file(&path.display().to_string()),
        message,
    };
    if !is_snake_case(id) {
        return Err(failed(&paths[0], format!("'{id}' is no id: write it in snake case (a to z, digits and _)")));
    }
    std::fs::create_dir_all(dir).map_err(|e| failed(dir, format!("cannot make this folder: {e}")))?;
    for (path, text) in paths.iter().zip([TEMPLATE.0, TEMPLATE.1]) {
        let mut file =
            std::fs::File::create_new(path).map_err(|e| failed(path, format!("cannot make this file: {e}")))?;
        file.write_all(text.as_bytes()).map_err(|e| failed(path, format!("cannot write this file: {e}")))?;
    }
    Ok(paths)
}

/// What the configuration changes: which detections are off, and parameters by `detection.parameter`.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// Ids of detections that are off.
    pub off: BTreeSet<String>,
    /// Values by `detection.parameter`.
    pub params: BTreeMap<String, toml::Value>,
}

/// All detections that are on, by id.
#[derive(Debug, Clone)]
pub struct Library {
    rules: Vec<Rule>,
    broken: Vec<(String, DetectionError)>,
}

/// Why no detection answers to a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoRule {
    /// There is none of that name.
    #[error("{0}")]
    Unknown(String),
    /// Its file is there and is not a detection.
    #[error("rule '{id}' is there and cannot be read: {error}")]
    Broken {
        /// The name.
        id: String,
        /// What is wrong with the file.
        error: DetectionError,
    },
}

impl Library {
    /// The built-in detections, with those of a user's folder added or in their place, and the configuration applied.
    /// A file that is wrong does not stop the others: it is among [`Library::broken`], and no built-in stands in for it.
    ///
    /// # Errors
    /// The folder cannot be read, or an override names a detection or parameter that does not exist.
    pub fn load(user_dir: Option<&Path>, overrides: &Overrides) -> Result<Self, DetectionError> {
        let mut files = built_in();
        if let Some(dir) = user_dir {
            for (id, file) in user_files(dir)? {
                files.insert(id, file);
            }
        }
        Self::from_files(files, overrides)
    }

    fn from_files(files: BTreeMap<String, File>, overrides: &Overrides) -> Result<Self, DetectionError> {
        let ids: Vec<String> = files.keys().cloned().collect();
        verify_ids(&ids, overrides)?;
        let mut library = Self { rules: Vec::new(), broken: Vec::new() };
        for (id, file) in files {
            let off = overrides.off.contains(&id);
            match file.and_then(|source| source.into_rule(&id)) {
                Ok(rule) if !off => library.rules.push(rule),
                Err(error) if !off => library.broken.push((id, error)),
                _ => {}
            }
        }
        for (name, value) in &overrides.params {
            let (id, parameter) = name.split_once('.').unwrap_or((name, ""));
            if let Some(rule) = library.rules.iter_mut().find(|rule| rule.id == id) {
                rule.set(parameter, value).map_err(|message| DetectionError::Override { message })?;
            }
        }
        Ok(library)
    }

    /// All detections, by id.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Files that are no detection, and why. A command that goes on without them fails in the end.
    pub fn broken(&self) -> impl ExactSizeIterator<Item = &DetectionError> {
        self.broken.iter().map(|(_, error)| error)
    }

    /// One detection.
    pub fn get(&self, id: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.id == id)
    }

    /// The detections of these ids, in their order; all of them where none is named.
    ///
    /// # Errors
    /// As [`Library::find`].
    pub fn choose(&self, ids: &[String]) -> Result<Vec<&Rule>, NoRule> {
        if ids.is_empty() { Ok(self.rules.iter().collect()) } else { ids.iter().map(|id| self.find(id)).collect() }
    }

    /// A detection by its id.
    ///
    /// # Errors
    /// There is none, or its file cannot be read.
    pub fn find(&self, id: &str) -> Result<&Rule, NoRule> {
        if let Some((_, error)) = self.broken.iter().find(|(broken, _)| broken == id) {
            return Err(NoRule::Broken { id: id.to_owned(), error: error.clone() });
        }
        let unknown = || NoRule::Unknown(unknown(id, self.rules.iter().map(|rule| rule.id.as_str())));
        self.get(id).ok_or_else(unknown)
    }
}

/// What to say of an id that is none of these: the one that was probably meant, and where all are listed.
fn unknown<'a>(id: &str, ids: impl Iterator<Item = &'a str>) -> String {
    /// Below this a likeness is chance.
    const ALIKE: f64 = 0.8;
    let likeness = |other: &str| strsim::jaro_winkler(id, other);
    let nearest = ids.max_by(|a, b| likeness(a).total_cmp(&likeness(b))).filter(|other| likeness(other) >= ALIKE);
    let meant = nearest.map(|other| format!("did you mean '{other}'? ")).unwrap_or_default();
    format!("there is no rule '{id}': {meant}kvaudit rules list shows those there are")
}

fn verify_ids(ids: &[String], overrides: &Overrides) -> Result<(), DetectionError> {
    let named = overrides.off.iter().map(String::as_str);
    let named =
        named.chain(overrides.params.keys().map(|name| name.split_once('.').map_or(name.as_str(), |(id, _)| id)));
    for id in named {
        if !ids.iter().any(|known| known == id) {
            return Err(DetectionError::Override { message: unknown(id, ids.iter().map(String::as_str)) });
        }
    }
    Ok(())
}

type File = Result<Source, DetectionError>;

/// The texts of a detection and of its tests.
struct Source {
    path: String,
    text: String,
    origin: Origin,
    tests: Option<TestFile>,
}

impl Source {
    fn into_rule(self, id: &str) -> Result<Rule, DetectionError> {
        let mut rule = Rule::parse(id, &self.path, &self.text, self.origin)?;
        rule.tests = self.tests;
        Ok(rule)
    }
}

fn built_in() -> BTreeMap<String, File> {
    let text = |name: &str| {
        let file = BuiltIn::get(name)?;
        Some(String::from_utf8_lossy(&file.data).into_owned())
    };
    let path = |name: &str| format!("queries/detections/{name}");
    let ids = BuiltIn::iter().filter_map(|name| name.strip_suffix(SQL).map(str::to_owned));
    ids.map(|id| {
        let (sql, tests) = (format!("{id}{SQL}"), format!("{id}{TESTS}"));
        let tests = text(&tests).map(|text| TestFile { path: path(&tests), text });
        let source = Source { path: path(&sql), text: text(&sql).unwrap_or_default(), origin: Origin::BuiltIn, tests };
        (id, Ok(source))
    })
    .collect()
}

fn user_files(dir: &Path) -> Result<BTreeMap<String, File>, DetectionError> {
    let failed = |message: String| DetectionError::File { place: Place::file(&dir.display().to_string()), message };
    let entries = std::fs::read_dir(dir).map_err(|e| failed(format!("cannot read this folder of detections: {e}")))?;
    let mut files = BTreeMap::new();
    for (count, entry) in entries.enumerate() {
        if count >= MAX_FILES {
            return Err(failed(format!("more than {MAX_FILES} files: is this a folder of detections?")));
        }
        let path = entry.map_err(|e| failed(format!("cannot read this folder of detections: {e}")))?.path();
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if let Some(id) = name.strip_suffix(SQL) {
            files.insert(id.to_owned(), user_file(&path, id));
        }
    }
    Ok(files)
}

fn user_file(path: &Path, id: &str) -> File {
    let tests = path.with_file_name(format!("{id}{TESTS}"));
    let tests = if tests.is_file() {
        Some(TestFile { path: tests.display().to_string(), text: read_limited(&tests)? })
    } else {
        None
    };
    Ok(Source { path: path.display().to_string(), text: read_limited(path)?, origin: Origin::User, tests })
}

fn read_limited(path: &Path) -> Result<String, DetectionError> {
    let failed = |message: String| DetectionError::File { place: Place::file(&path.display().to_string()), message };
    let file = std::fs::File::open(path).map_err(|e| failed(format!("cannot read it: {e}")))?;
    let mut text = String::new();
    let read = std::io::Read::read_to_string(&mut std::io::Read::take(file, MAX_FILE + 1), &mut text);
    match read.map_err(|e| failed(format!("cannot read it as UTF-8 text: {e}")))? {
        length if length as u64 > MAX_FILE => Err(failed(format!("larger than {MAX_FILE} bytes: no detection is"))),
        _ => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIMPLE: &str = include_str!("testdata/busy_caller.sql");

    fn error(text: &str) -> String {
        Rule::parse("busy_caller", "busy_caller.sql", text, Origin::User).unwrap_err().to_string()
    }

    #[test]
    fn parameters_of_header_and_sql_must_agree() {
        let unused = SIMPLE.replace(">= $least", ">= 5");
        assert!(error(&unused).contains("busy_caller.sql:17: parameter 'least' is declared and the SQL does not use"));
        let undeclared = SIMPLE.replace(">= $least", ">= $most + $least");
        assert!(
            error(&undeclared).contains("$most is not declared: add it under [parameters]"),
            "{}",
            error(&undeclared)
        );
        let parser = error(&SIMPLE.replace("GROUP BY", "GROUP GROUP BY"));
        assert!(parser.starts_with("busy_caller.sql:34: ") && parser.contains("Expected"), "{parser}");
    }

    #[test]
    fn a_users_file_replaces_a_built_in_and_a_broken_one_hides_it() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write("throttling.sql", SIMPLE);
        write("my_own.sql", SIMPLE);
        write("my_own.test.toml", "");
        write("Bad-Name.sql", SIMPLE);
        write("empty.sql", "");
        write("notes.md", "not a detection");
        let library = Library::load(Some(dir.path()), &Overrides::default()).unwrap();
        let throttling = library.get("throttling").unwrap();
        assert_eq!((throttling.origin, throttling.title()), (Origin::User, "A caller is busy"));
        assert!(library.get("my_own").unwrap().tests.is_some());
        let broken: Vec<_> = library.broken().map(ToString::to_string).collect();
        assert_eq!(broken.len(), 2, "{broken:?}");
        assert!(
            broken[0].contains("'Bad-Name' is no id") && broken[1].contains("empty.sql:1: no header"),
            "{broken:?}"
        );

        write("throttling.sql", "oops");
        let library = Library::load(Some(dir.path()), &Overrides::default()).unwrap();
        assert!(library.get("throttling").is_none());
        let found = library.find("throttling").unwrap_err();
        assert!(matches!(found, NoRule::Broken { .. }) && found.to_string().contains("throttling.sql:1: "), "{found}");
        assert!(matches!(library.find("trottling").unwrap_err(), NoRule::Unknown(_)));
        let error = Library::load(Some(&dir.path().join("absent")), &Overrides::default()).unwrap_err();
        assert!(error.to_string().contains("cannot read this folder of detections"), "{error}");
    }

    fn with(off: &[&str], params: &[(&str, toml::Value)]) -> Result<Library, DetectionError> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("busy_caller.sql"), SIMPLE).unwrap();
        let off = off.iter().map(|id| (*id).to_owned()).collect();
        let params = params.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        Library::load(Some(dir.path()), &Overrides { off, params })
    }

    #[test]
    fn overrides_apply_and_unknown_ones_say_what_exists() {
        let library = with(&["throttling"], &[("busy_caller.least", 7.into())]).unwrap();
        assert!(library.get("throttling").is_none());
        assert_eq!(library.get("busy_caller").unwrap().values()["least"], Parameter::Integer(7));
        let cases: [(_, _, toml::Value, _); 6] = [
            (Some("throtling"), None, 0.into(), "there is no rule 'throtling': did you mean 'throttling'?"),
            (None, Some("busy.least"), 1.into(), "there is no rule 'busy': did you mean 'busy_caller'?"),
            (None, Some("busy_caller.most"), 1.into(), "has no parameter 'most': it has least"),
            (None, Some("busy_caller"), 1.into(), "has no parameter ''"),
            (None, Some("busy_caller.least"), 0.into(), "0 is outside the range 1 to any"),
            (None, Some("busy_caller.least"), "many".into(), "'many' is text and not integer"),
        ];
        for (off, param, value, expected) in cases {
            let off: Vec<_> = off.into_iter().collect();
            let params: Vec<_> = param.into_iter().map(|name| (name, value.clone())).collect();
            let error = with(&off, &params).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
