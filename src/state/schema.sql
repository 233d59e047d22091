CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

-- One row a key and window; `key` is a JSON array of [column, value] pairs in the header's order.
-- Withdrawn rows stay, so that a finding that comes back finds its alert again.
CREATE TABLE findings (
    finding_id TEXT PRIMARY KEY,
    rule_id TEXT NOT NULL,
    key TEXT NOT NULL,
    window_start INTEGER NOT NULL,
    window_end INTEGER NOT NULL,
    observed REAL NOT NULL,
    expected REAL NOT NULL,
    p_value REAL,
    severity INTEGER NOT NULL,
    summary TEXT NOT NULL,
    event_count INTEGER,
    entities TEXT NOT NULL,
    evidence TEXT NOT NULL,
    drilldown_filter TEXT,
    withdrawn INTEGER NOT NULL DEFAULT 0,
    alert_id TEXT REFERENCES alerts (alert_id) DEFERRABLE INITIALLY DEFERRED
) STRICT;
CREATE INDEX findings_by_period ON findings (rule_id, window_end);
CREATE UNIQUE INDEX findings_by_key ON findings (rule_id, key, window_end);
CREATE INDEX findings_by_alert ON findings (alert_id, window_end);

-- `state` is what people did; `withdrawn` is what the data says. `seq` tells which alert is older.
-- `origin_end` is the window_end in the id; `closed_through` the last window_end when it was closed.
-- `body` is the alert's JSON; its state, suppression and times of storing are the columns'.
CREATE TABLE alerts (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    alert_id TEXT NOT NULL UNIQUE,
    rule_id TEXT NOT NULL,
    key TEXT NOT NULL,
    origin_end INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'acknowledged', 'closed')),
    closed_through INTEGER,
    withdrawn INTEGER NOT NULL DEFAULT 0,
    severity INTEGER NOT NULL,
    window_start INTEGER NOT NULL,
    window_end INTEGER NOT NULL,
    entities TEXT NOT NULL,
    body TEXT NOT NULL,
    suppressed_until INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX alerts_by_key ON alerts (rule_id, key);
CREATE INDEX alerts_by_time ON alerts (window_end, alert_id);
CREATE INDEX alerts_by_severity ON alerts (severity, window_end, alert_id);

-- Ids that were given out, or would have been had the data come in another order, and the alert that carries on.
CREATE TABLE aliases (
    alias TEXT PRIMARY KEY,
    alert_id TEXT NOT NULL REFERENCES alerts (alert_id) DEFERRABLE INITIALLY DEFERRED
) STRICT;
CREATE INDEX aliases_by_alert ON aliases (alert_id);

CREATE TABLE suppressions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    rule_id TEXT,
    principal_id TEXT,
    vault_name TEXT,
    object_name TEXT,
    address TEXT,
    reason TEXT NOT NULL,
    author TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER
) STRICT;

CREATE TABLE bookmarks (
    source TEXT PRIMARY KEY,
    position TEXT NOT NULL,
    table_id TEXT NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE trail (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;
CREATE INDEX trail_by_subject ON trail (subject);
CREATE TRIGGER trail_is_never_changed BEFORE UPDATE ON trail
BEGIN SELECT raise(ABORT, 'the trail is append-only'); END;
CREATE TRIGGER trail_is_never_shortened BEFORE DELETE ON trail
BEGIN SELECT raise(ABORT, 'the trail is append-only'); END;
