-- Incidents group alerts; `body` is the incident's JSON, whose state and times of storing are the columns'.
-- `seq` tells which is older; `origin_alert` is the alert whose id is in its own.
CREATE TABLE incidents (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    incident_id TEXT NOT NULL UNIQUE,
    subject TEXT NOT NULL,
    origin_alert TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'acknowledged', 'closed', 'withdrawn')),
    severity INTEGER NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    entities TEXT NOT NULL,
    rule_ids TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX incidents_by_time ON incidents (last_seen, incident_id);
CREATE INDEX incidents_by_severity ON incidents (severity, last_seen, incident_id);

-- Ids of incidents that became part of another, or that would have been given had the alerts come in another order.
CREATE TABLE incident_aliases (
    alias TEXT PRIMARY KEY,
    incident_id TEXT NOT NULL REFERENCES incidents (incident_id) DEFERRABLE INITIALLY DEFERRED
) STRICT;
CREATE INDEX incident_aliases_by_incident ON incident_aliases (incident_id);

-- Kept when the alert is closed, suppressed or withdrawn: then it tells where the alert belonged.
ALTER TABLE alerts ADD COLUMN incident_id TEXT
    REFERENCES incidents (incident_id) DEFERRABLE INITIALLY DEFERRED;
CREATE INDEX alerts_by_incident ON alerts (incident_id);
