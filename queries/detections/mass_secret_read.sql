-- +++
-- title = "A caller reads unusually many secrets"
-- description = """
-- Counts the different secrets (certificates' private keys are read as secrets too) that one caller reads within an hour, and
-- those of them that it never read before. The first count is compared with the caller's own active hours over four weeks, the
-- second with the secrets that it and callers of its kind begin to read in a day; either may be improbable by itself. A public
-- address that the caller never came from lowers the bar, by how rarely new addresses are seen with it. A caller without
-- history is judged by its kind and by the readers of the vault, and stays silent where a group of them does the like. Before
-- the logs cover a week, nobody is called new. Names of secrets compare without case, as Key Vault's do.
-- A caller whose tokens carry no id is told apart by its name; those share one history of secrets and addresses.
-- """
-- severity = "high"
-- status = "stable"
-- techniques = ["T1555.006"]
-- key = ["principal_id"]
-- every = "5m"
-- window = "1h"
-- lookback = "1h"
-- baseline = "31d"
-- quiet_for = "6h"
-- min_coverage = "3d"
-- false_positives = [
--   "A service that is restructured and starts to read several teams' secrets.",
--   "A migration or an inventory that reads values; give it an identity of its own and suppress that.",
--   "The first pipeline of a vault that nobody read as a whole before.",
-- ]
-- response = [
--   "Ask the owner of the caller whether the reads were meant, with the list of objects.",
--   "If not: revoke the caller's access, rotate every secret in the list, and look for the addresses in other logs.",
-- ]
-- references = ["https://attack.mitre.org/techniques/T1555/006/"]
-- false_alarm_rate = "Each step tests every caller at once against alpha = 0.001, shared out over four tests; by simulation below one alert in ten days for a company of sixty callers."
--
-- [parameters]
-- min_objects = { default = 12, min = 3, about = "Fewest different objects in an hour." }
-- min_new = { default = 8, min = 2, about = "Fewest objects in an hour that the caller never read, for these to be tested by themselves." }
-- newcomer_objects = { default = 30, min = 3, about = "Fewest for a caller without history that stays in one vault." }
-- uncovered_objects = { default = 100, min = 3, about = "Fewest for a caller without history while the logs cover less than learned_days." }
-- settled_hours = { default = 8, min = 1, about = "Active hours of its own from which a caller is judged by its history alone, not by its peers too." }
-- settled_days = { default = 3, min = 1, about = "Active days of its own from which it is no newcomer." }
-- learned_days = { default = 7, min = 1, about = "Active days of its own from which new objects and addresses say something: a pipeline has several vaults, and not all in one day." }
-- young_logs = { default = "14d", about = "Covered history below which habits cannot be told from what happened once: one peer's peak excuses a newcomer." }
-- alike = { default = 2, min = 1, about = "So many peers, and a tenth of all, with 0.7 of the count on two days make it usual for a newcomer; in its vault one does." }
-- ratio = { default = 1.5, min = 1.0, about = "How many times its own busiest hour." }
-- alpha = { default = 0.001, min = 0.0, max = 1.0, about = "Chance of a false finding in one step, over all callers tested." }
-- history = { default = "28d", about = "How far back a caller's own hours count; at most the baseline less two days." }
-- guard = { default = "1h", about = "The last hours before a window do not count as history, so that a slow start cannot excuse itself." }
-- prior_hours = { default = 6.0, min = 0.1, about = "Weight of the peers against the caller's own active hours." }
-- prior_days = { default = 5.0, min = 0.1, about = "Weight of the peers against the caller's own days, where new objects are tested." }
-- +++
WITH reads AS (
    SELECT coalesce(principal_id, principal_name) AS who, date_trunc('hour', time) AS hour, count(*) AS calls
    FROM events
    WHERE time >= $from - $lookback AND time < $to
      AND operation_class = 'read' AND outcome = 'success' AND object_type = 'secret' AND object_name IS NOT NULL
      AND coalesce(principal_id, principal_name) IS NOT NULL
    GROUP BY coalesce(principal_id, principal_name), date_trunc('hour', time)
),
daily AS (
    -- Active hours of each caller, a row a day; days end before any window that uses them starts.
    SELECT who, max(principal_type) AS principal_type, date_trunc('day', hour) AS day, count(*) AS hours,
           sum(objects) AS total, sum(objects * objects) AS squares, max(objects) AS peak
    FROM (
        SELECT coalesce(principal_id, principal_name) AS who, max(principal_type) AS principal_type, hour,
               CAST(sum(distinct_objects) AS DOUBLE) AS objects
        FROM activity
        WHERE hour >= $from - $lookback - $baseline AND hour < $to
          AND operation_class = 'read' AND operation_name LIKE 'Secret%' AND outcome = 'success' AND distinct_objects > 0
          AND coalesce(principal_id, principal_name) IS NOT NULL
        GROUP BY coalesce(principal_id, principal_name), hour
    ) AS hourly
    GROUP BY who, date_trunc('day', hour)
),
seen AS (
    -- Days on which a caller read a secret, with the day it had read it before. Who has no id goes by the empty text.
    SELECT caller, object, day, lag(day) OVER (PARTITION BY caller, object ORDER BY day) AS before
    FROM (
        SELECT DISTINCT coalesce(principal_id, '') AS caller, lower(value) AS object, day
        FROM sightings
        WHERE kind = 'object' AND successes > 0 AND value LIKE '%/secret/%'
          AND day >= $from - $lookback - $baseline AND day < $to
    ) AS days
),
begun AS (
    -- Objects that a caller began to read on a day, or read again after a pause.
    SELECT caller, day, before, count(*) AS objects
    FROM seen
    WHERE before IS NULL OR before < day - INTERVAL '1 day'
    GROUP BY caller, day, before
),
bounds AS (
    -- Two adjacent hours bound any window of one hour. A window may end in an hour that has no read of its own yet.
    SELECT who, hour, sum(calls) AS calls, date_trunc('day', hour - $window - $guard) AS base
    FROM (
        SELECT who, hour, calls FROM reads
        UNION ALL
        SELECT who, hour + INTERVAL '1 hour' AS hour, calls FROM reads
    ) AS pairs
    GROUP BY who, hour
    HAVING sum(calls) >= $min_objects
),
floors AS (
    -- The own busiest hour, over the days that the history of every window in the hour has.
    SELECT b.who, b.base, max(d.peak) AS peak
    FROM (SELECT DISTINCT who, base FROM bounds) b
    JOIN daily d ON d.who = b.who AND d.day < b.base AND d.day >= b.base - $history + INTERVAL '1 day'
    GROUP BY b.who, b.base
),
novel AS (
    -- No less than the new objects of any window in the hour: only a sieve, so that the rest of the day does not matter.
    SELECT b.who, b.hour
    FROM bounds b
    JOIN begun n ON n.caller = b.who AND n.day >= b.base AND n.day <= b.hour
    WHERE n.before IS NULL OR n.before < b.base - $history + INTERVAL '1 day'
    GROUP BY b.who, b.hour
    HAVING sum(n.objects) >= $min_new
),
possible AS (
    -- Most hours drop out here, before objects are told apart.
    SELECT b.who, b.hour, CASE WHEN n.who IS NULL THEN coalesce(f.peak, 0) ELSE 0 END AS peak
    FROM bounds b
    LEFT JOIN floors f ON f.who = b.who AND f.base = b.base
    LEFT JOIN novel n ON n.who = b.who AND n.hour = b.hour
    WHERE n.who IS NOT NULL OR b.calls >= $ratio * coalesce(f.peak, 0)
),
bins AS (
    -- One row for each caller, object and step: repeats of a read do not count.
    SELECT wanted.who, e.vault_name, lower(e.object_name) AS object_name, date_bin($every, e.time) AS bin,
           max(e.principal_type) AS kind, max(e.principal_id) AS principal_id
    FROM events e
    JOIN (
        SELECT who, hour FROM possible
        UNION
        SELECT who, hour - INTERVAL '1 hour' AS hour FROM possible
    ) wanted ON wanted.who = coalesce(e.principal_id, e.principal_name) AND wanted.hour = date_trunc('hour', e.time)
    WHERE e.time >= $from - $lookback AND e.time < $to
      AND e.operation_class = 'read' AND e.outcome = 'success' AND e.object_type = 'secret' AND e.object_name IS NOT NULL
    GROUP BY wanted.who, e.vault_name, lower(e.object_name), date_bin($every, e.time)
),
objects AS (
    SELECT who, hour, count(*) AS objects
    FROM (SELECT DISTINCT who, vault_name, object_name, date_trunc('hour', bin) AS hour FROM bins)
    GROUP BY who, hour
),
busy AS (
    SELECT p.who, p.hour
    FROM possible p
    LEFT JOIN objects now ON now.who = p.who AND now.hour = p.hour
    LEFT JOIN objects before ON before.who = p.who AND before.hour = p.hour - INTERVAL '1 hour'
    WHERE coalesce(now.objects, 0) + coalesce(before.objects, 0) >= greatest($min_objects, $ratio * p.peak)
),
hops AS (
    SELECT who, vault_name, object_name, window_end, date_trunc('day', window_end - $window - $guard) AS base_day,
           max(kind) AS kind, max(principal_id) AS principal_id
    FROM (
        SELECT b.who, b.vault_name, b.object_name, b.kind, b.principal_id, b.bin + hop.ahead AS window_end
        FROM bins b
        JOIN (
            SELECT who, hour FROM busy
            UNION
            SELECT who, hour - INTERVAL '1 hour' AS hour FROM busy
        ) wanted ON wanted.who = b.who AND wanted.hour = date_trunc('hour', b.bin)
        CROSS JOIN (VALUES
            (INTERVAL '5 minutes'), (INTERVAL '10 minutes'), (INTERVAL '15 minutes'), (INTERVAL '20 minutes'),
            (INTERVAL '25 minutes'), (INTERVAL '30 minutes'), (INTERVAL '35 minutes'), (INTERVAL '40 minutes'),
            (INTERVAL '45 minutes'), (INTERVAL '50 minutes'), (INTERVAL '55 minutes'), (INTERVAL '60 minutes')
        ) AS hop (ahead)
    ) AS spread
    WHERE window_end > $from AND window_end <= $to
    GROUP BY who, vault_name, object_name, window_end
),
known AS (
    -- Objects of the windows that the caller had read before.
    SELECT h.who, h.vault_name, h.object_name, h.base_day
    FROM (SELECT DISTINCT who, principal_id, vault_name, object_name, base_day FROM hops) h
    JOIN seen s ON s.caller = coalesce(h.principal_id, '') AND s.object = h.vault_name || '/secret/' || h.object_name
     AND s.day < h.base_day AND s.day >= h.base_day - $history
    GROUP BY h.who, h.vault_name, h.object_name, h.base_day
),
parts AS (
    SELECT h.who, h.window_end, h.base_day, h.vault_name, count(*) AS objects, count(*) FILTER (WHERE k.who IS NULL) AS new_objects,
           max(h.kind) AS kind, max(h.principal_id) AS principal_id
    FROM hops h
    JOIN busy b ON b.who = h.who AND b.hour = date_trunc('hour', h.window_end - INTERVAL '1 microsecond')
    LEFT JOIN known k ON k.who = h.who AND k.vault_name = h.vault_name AND k.object_name = h.object_name AND k.base_day = h.base_day
    GROUP BY h.who, h.window_end, h.base_day, h.vault_name
),
windows AS (
    SELECT who, window_end, base_day, max(principal_id) AS principal_id, max(kind) AS principal_type, sum(objects) AS objects,
           sum(new_objects) AS new_objects, count(*) AS vaults, max(vault_name) AS only_vault
    FROM parts
    GROUP BY who, window_end, base_day
    HAVING sum(objects) >= $min_objects
),
bases AS (
    SELECT date_trunc('day', hour) AS base_day FROM coverage WHERE hour >= $from - $lookback - $window AND hour < $to
    UNION
    SELECT date_trunc('day', hour - $window - $guard) AS base_day FROM coverage WHERE hour >= $from - $lookback - $window AND hour < $to
),
own AS (
    -- The habit is the busiest hour on all days but the best one: what happened once, as a theft does, is nobody's habit.
    SELECT b.base_day, d.who, max(d.principal_type) AS principal_type, sum(d.hours) AS hours, sum(d.total) AS total,
           sum(d.squares) AS squares, max(d.peak) AS peak, count(*) AS days, min(d.day) AS first_day,
           nth_value(d.peak, 2 ORDER BY d.peak DESC) AS habit
    FROM bases b
    JOIN daily d ON d.day < b.base_day AND d.day >= b.base_day - $history
    GROUP BY b.base_day, d.who
),
gains AS (
    -- Objects that each caller began to read, a day of its own after its first.
    SELECT base_day, who, coalesce(sum(objects), 0) AS total, coalesce(sum(objects * objects), 0) AS squares
    FROM (
        SELECT o.base_day, o.who, n.day, CAST(sum(n.objects) AS DOUBLE) AS objects
        FROM own o
        JOIN begun n ON n.caller = o.who AND n.day > o.first_day AND n.day < o.base_day
         AND (n.before IS NULL OR n.before < o.base_day - $history)
        GROUP BY o.base_day, o.who, n.day
    ) AS each_day
    GROUP BY base_day, who
),
histories AS (
    SELECT o.*, coalesce(g.total, 0) AS gained, coalesce(g.squares, 0) AS gained_squares,
           row_number() OVER (PARTITION BY o.base_day, o.principal_type ORDER BY coalesce(g.squares, 0) DESC, o.who) AS place,
           median(o.habit) OVER (PARTITION BY o.base_day, o.principal_type) AS middle
    FROM own o
    LEFT JOIN gains g ON g.base_day = o.base_day AND g.who = o.who
),
peers AS (
    -- Callers of a kind. One giant must not excuse everybody: habits are cut at three medians, and of gains the largest is
    -- left out, lest an earlier thief excuse the next. What a group of them does, not one, is usual.
    SELECT base_day, principal_type, count(habit) AS callers, avg(least(habit, 3 * middle)) AS mean,
           avg(power(least(habit, 3 * middle), 2)) AS square, sum(days - 1) AS days,
           sum(CASE WHEN place > 1 THEN gained ELSE 0 END) AS gained,
           sum(CASE WHEN place > 1 THEN gained_squares ELSE 0 END) AS gained_squares,
           array_agg(habit ORDER BY habit DESC) FILTER (WHERE habit IS NOT NULL) AS habits, max(peak) AS peak
    FROM histories
    GROUP BY base_day, principal_type
),
covered AS (
    SELECT b.base_day, count(DISTINCT c.hour) AS hours, date_trunc('day', min(c.hour)) AS first_day
    FROM bases b
    JOIN coverage c ON c.hour < b.base_day AND c.hour >= b.base_day - $history
    WHERE c.hour >= $from - $lookback - $baseline AND c.hour < $to
    GROUP BY b.base_day
),
tested AS (
    -- All callers, and those of them that came while the logs were there already: how often there is a newcomer to test.
    SELECT o.base_day, count(*) AS callers, count(*) FILTER (WHERE o.first_day >= c.first_day + $min_coverage) AS arrived
    FROM own o
    JOIN covered c ON c.base_day = o.base_day
    GROUP BY o.base_day
),
shrunk AS (
    -- Three callers with a peak of 8 ± 8 stand in for peers where there are few; and ten days, on one of which in twenty
    -- a caller begins to read 8 ± 8 objects.
    SELECT w.*, coalesce(o.hours, 0) AS hours, coalesce(o.days, 0) AS days, o.peak, o.total / o.hours AS usual,
           coalesce(t.callers, 0) + 1 AS callers, coalesce(t.arrived, 0) AS arrived, coalesce(c.hours, 0) AS covered_hours,
           (coalesce(p.callers, 0) * coalesce(p.mean, 0) + 3 * 8.0) / (coalesce(p.callers, 0) + 3) AS peer_mean,
           (coalesce(p.callers, 0) * coalesce(p.square, 0) + 3 * 128.0) / (coalesce(p.callers, 0) + 3) AS peer_square,
           (coalesce(p.gained, 0) + 10 * 0.4) / (coalesce(p.days, 0) + 10) AS peer_gain,
           (coalesce(p.gained_squares, 0) + 10 * 6.4) / (coalesce(p.days, 0) + 10) AS peer_gain_square,
           coalesce(o.total, 0) AS total, coalesce(o.squares, 0) AS squares,
           coalesce(o.gained, 0) AS gained, coalesce(o.gained_squares, 0) AS gained_squares,
           coalesce(p.habits[CAST(greatest($alike, ceil(p.callers / 10.0)) AS BIGINT)], 0) AS group_habit,
           CASE WHEN 3600 * c.hours < extract(epoch FROM $young_logs) THEN p.peak END AS young_peak
    FROM windows w
    LEFT JOIN histories o ON o.who = w.who AND o.base_day = w.base_day
    LEFT JOIN peers p ON p.base_day = w.base_day AND p.principal_type = w.principal_type
    LEFT JOIN tested t ON t.base_day = w.base_day
    LEFT JOIN covered c ON c.base_day = w.base_day
),
moments AS (
    -- A caller without history is tested only on the day that it comes: as many tests as callers come in a day.
    SELECT *, (total + $prior_hours * peer_mean) / (hours + $prior_hours) AS mean,
           (squares + $prior_hours * peer_square) / (hours + $prior_hours) AS square,
           (gained + $prior_days * peer_gain) / (greatest(days - 1, 0) + $prior_days) AS gain,
           (gained_squares + $prior_days * peer_gain_square) / (greatest(days - 1, 0) + $prior_days) AS gain_square,
           CASE
               WHEN hours = 0 AND 3600 * covered_hours >= extract(epoch FROM $min_coverage)
               THEN (arrived + 0.5) / greatest(1.0, (3600 * covered_hours - extract(epoch FROM $min_coverage)) / 86400)
               ELSE CAST(callers AS DOUBLE)
           END AS tests,
           CASE WHEN days >= $settled_days THEN 4.0 ELSE 1.0 END AS shares
    FROM shrunk
),
scored AS (
    SELECT *,
           CASE WHEN peak IS NULL OR objects >= $ratio * peak THEN least(1.0, tests * negative_binomial_sf(
               CAST(objects AS DOUBLE), mean, greatest(0.05, (square - mean * mean - mean) / (mean * mean)))) ELSE 1.0 END AS p_count,
           CASE WHEN days >= $learned_days AND new_objects >= $min_new THEN least(1.0, tests * negative_binomial_sf(
               CAST(new_objects AS DOUBLE), gain, greatest(0.05, (gain_square - gain * gain - gain) / (gain * gain)))) ELSE 1.0 END AS p_new
    FROM moments
),
improbable AS (
    -- Four tests share alpha: all objects and new ones, each with an address in its favour and without; a caller of few
    -- days has one. No address weighs more than one that is new to the longest history, hence the last factor.
    SELECT *
    FROM scored
    WHERE shares * least(p_count, p_new) * 0.5 / (extract(epoch FROM $history) / 86400 + 1) <= $alpha
),
readers AS (
    -- The habits of the readers of a newcomer's vault, of any kind.
    SELECT only_vault, base_day, who, nth_value(objects, 2 ORDER BY objects DESC) AS habit
    FROM (
        SELECT n.only_vault, n.base_day, a.who, date_trunc('day', a.hour) AS day, max(a.objects) AS objects
        FROM (SELECT DISTINCT only_vault, base_day FROM improbable WHERE hours < $settled_hours AND vaults = 1) n
        JOIN (
            SELECT vault_name, coalesce(principal_id, principal_name) AS who, hour, CAST(sum(distinct_objects) AS DOUBLE) AS objects
            FROM activity
            WHERE hour >= $from - $lookback - $baseline AND hour < $to
              AND operation_class = 'read' AND operation_name LIKE 'Secret%' AND outcome = 'success' AND distinct_objects > 0
            GROUP BY vault_name, coalesce(principal_id, principal_name), hour
        ) a ON a.vault_name = n.only_vault AND a.hour < n.base_day AND a.hour >= n.base_day - $history
        GROUP BY n.only_vault, n.base_day, a.who, date_trunc('day', a.hour)
    ) AS each_day
    GROUP BY only_vault, base_day, who
),
beside AS (
    SELECT only_vault, base_day, count(*) AS readers, avg(habit) AS mean, avg(habit * habit) AS square, max(habit) AS habit
    FROM readers
    WHERE habit IS NOT NULL
    GROUP BY only_vault, base_day
),
placed AS (
    -- For a newcomer the best word on whether its count is usual: a group of its kind, or one reader of the vault, does the
    -- like. The same three stand-ins beside the readers of the vault.
    SELECT i.*, greatest(i.group_habit, coalesce(i.young_peak, 0)) >= 0.7 * i.objects
               OR i.vaults = 1 AND coalesce(b.habit, 0) >= 0.7 * i.objects AS is_usual,
           (coalesce(b.readers * b.mean, 0) + 3 * 8.0) / (coalesce(b.readers, 0) + 3) AS reader_mean,
           (coalesce(b.readers * b.square, 0) + 3 * 128.0) / (coalesce(b.readers, 0) + 3) AS reader_square
    FROM improbable i
    LEFT JOIN beside b ON b.only_vault = i.only_vault AND b.base_day = i.base_day
),
weighed AS (
    -- A newcomer in one vault must be odd among its kind and among the vault's readers.
    SELECT *, CASE
            WHEN hours >= $settled_hours THEN p_count
            WHEN hours > 0 THEN CASE WHEN is_usual THEN 1.0 ELSE p_count END
            -- Before each weekday was seen, a weekly job is no newcomer.
            WHEN covered_hours < 24 * $learned_days THEN CASE WHEN objects >= $uncovered_objects THEN p_count ELSE 1.0 END
            WHEN is_usual THEN 1.0
            WHEN vaults > 1 THEN p_count
            WHEN objects >= $newcomer_objects THEN greatest(p_count, tests * negative_binomial_sf(CAST(objects AS DOUBLE), reader_mean,
                greatest(0.05, (reader_square - reader_mean * reader_mean - reader_mean) / (reader_mean * reader_mean))))
            ELSE 1.0
        END AS p_many
    FROM placed
),
candidate AS (
    SELECT * FROM weighed
    WHERE shares * least(p_many, p_new) * 0.5 / (extract(epoch FROM $history) / 86400 + 1) <= $alpha
),
addresses AS (
    -- Addresses of the history: a caller that comes from many is a pipeline, and a new one says nothing.
    SELECT g.who, g.base_day, array_agg(DISTINCT s.value) AS known, count(DISTINCT s.value) AS number
    FROM (SELECT DISTINCT who, principal_id, base_day FROM candidate) g
    JOIN sightings s ON coalesce(s.principal_id, '') = coalesce(g.principal_id, '') AND s.day < g.base_day AND s.day >= g.base_day - $history
    WHERE s.kind = 'address' AND s.day >= $from - $lookback - $baseline AND s.day < $to
    GROUP BY g.who, g.base_day
),
detail AS (
    SELECT f.who, f.window_end, max(e.principal_name) AS principal_name, max(e.app_id) AS app_id,
           array_agg(DISTINCT e.vault_name ORDER BY e.vault_name) AS vault_name,
           array_agg(DISTINCT lower(e.object_name) ORDER BY lower(e.object_name)) AS object_name,
           array_agg(DISTINCT e.caller_ip ORDER BY e.caller_ip) FILTER (WHERE e.caller_ip IS NOT NULL) AS caller_ip,
           array_agg(DISTINCT e.caller_ip ORDER BY e.caller_ip) FILTER (WHERE NOT ip_is_private(e.caller_ip)) AS public_ip,
           array_agg(DISTINCT e.client_product ORDER BY e.client_product) AS client_product,
           count(*) AS event_count, min(e.time) AS first_time, max(e.time) AS last_time
    FROM candidate f
    JOIN events e ON coalesce(e.principal_id, e.principal_name) = f.who
    WHERE e.time >= $from - $lookback AND e.time < $to
      AND e.time >= f.window_end - $window AND e.time < f.window_end
      AND e.operation_class = 'read' AND e.outcome = 'success' AND e.object_type = 'secret' AND e.object_name IS NOT NULL
    GROUP BY f.who, f.window_end
),
evidence AS (
    SELECT f.*, d.principal_name, d.app_id, d.vault_name, d.object_name, d.caller_ip, d.client_product, d.event_count,
           d.first_time, d.last_time,
           CASE WHEN a.number <= 3 + f.days / 2 AND NOT array_has_all(a.known, d.caller_ip)
                THEN array_sort(array_except(d.caller_ip, a.known)) END AS strange_addresses,
           -- How often a day shows a new address of this caller, never below what its history allows.
           CASE WHEN f.days >= $learned_days AND NOT array_has_all(a.known, d.public_ip)
                THEN least(1.0, (a.number - 0.5) / (f.days + 1)) ELSE 1.0 END AS address_rate,
           4 * f.new_objects < f.objects AS rereads
    FROM candidate f
    JOIN detail d ON d.who = f.who AND d.window_end = f.window_end
    LEFT JOIN addresses a ON a.who = f.who AND a.base_day = f.base_day
),
judged AS (
    -- Those without an id share a key: the strongest of them is told.
    SELECT *, row_number() OVER (PARTITION BY window_end, coalesce(principal_id, '') ORDER BY p_value, objects DESC, who) AS place
    FROM (
        SELECT *, least(1.0, shares * least(p_many, p_new) * coalesce(address_rate, 1.0)) AS p_value
        FROM evidence
    ) AS combined
    WHERE p_value <= $alpha
)
SELECT
    window_end - $window AS window_start,
    window_end,
    principal_id,
    CAST(objects AS DOUBLE) AS observed,
    mean AS expected,
    p_value,
    CASE
        WHEN rereads AND strange_addresses IS NULL THEN 'informational'
        WHEN rereads OR days < $settled_days THEN 'medium'
        -- Neither count is improbable enough without the address.
        WHEN shares * least(p_many, p_new) > $alpha THEN 'medium'
        WHEN vaults >= 3 AND strange_addresses IS NOT NULL THEN 'critical'
        ELSE 'high'
    END AS severity,
    concat(
        coalesce(principal_name, principal_id), ' read ', objects, ' different secrets of ',
        CASE WHEN vaults = 1 THEN concat('vault ', vault_name[1]) ELSE concat(vaults, ' vaults') END,
        ' in the hour to ', to_char(window_end, '%Y-%m-%d %H:%M'), ' UTC; ',
        CASE
            WHEN hours = 0 THEN concat('it has no history, and callers of its kind read about ', CAST(round(peer_mean) AS BIGINT), ' in their busiest hour')
            ELSE concat('it usually reads ', CAST(round(usual) AS BIGINT), ' in an active hour and never read more than ',
                        CAST(peak AS BIGINT), '; ', new_objects, ' of them it had not read before')
        END,
        CASE
            WHEN strange_addresses IS NULL THEN ''
            WHEN cardinality(strange_addresses) = 1 THEN concat(', from an address new to it (', strange_addresses[1], ')')
            ELSE concat(', from ', cardinality(strange_addresses), ' addresses new to it (', array_to_string(array_slice(strange_addresses, 1, 3), ', '),
                        CASE WHEN cardinality(strange_addresses) > 3 THEN ', …' ELSE '' END, ')')
        END
    ) AS summary,
    event_count,
    principal_name,
    principal_type,
    app_id,
    vault_name,
    object_name,
    caller_ip,
    client_product,
    new_objects,
    vaults AS distinct_vaults,
    strange_addresses,
    CAST(coalesce(peak, 0) AS BIGINT) AS busiest_hour_before,
    usual AS usual_in_an_active_hour,
    hours AS active_hours_before,
    peer_mean AS peers_busiest_hour,
    gain AS new_objects_in_a_day,
    p_many AS p_of_all_objects,
    p_new AS p_of_new_objects,
    address_rate,
    tests AS callers_tested,
    covered_hours,
    first_time,
    last_time,
    'operation_class = ''read'' AND outcome = ''success'' AND object_type = ''secret'' AND object_name IS NOT NULL' AS drilldown_filter
FROM judged
WHERE place = 1
