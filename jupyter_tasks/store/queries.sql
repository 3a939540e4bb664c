-- Every statement of the store, by name. A name stands in a line of its own, followed by what the
-- statement promises. What stands in braces are lists of columns: columns.py makes them of the model.

-- name: epoch
-- Who may write now.
SELECT epoch FROM writer;

-- name: take_over
-- From now on every earlier epoch is refused.
UPDATE writer SET epoch = epoch + 1;

-- name: last_number
-- The highest number ever given to a job: numbers are not used twice, also after a deletion.
SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'job'), 0);

-- name: last_seq
-- The number of the newest event, whether it is still kept or not.
SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'event'), 0);

-- name: add_job
-- Jobs are added nowhere else; what follows them is written by the same function, not by triggers,
-- which take several times as long for each row.
INSERT INTO job ({inserted}) VALUES ({inserted_marks});

-- name: add_new_job
-- The same for a job that has not lived yet: what is not bound is not paid for, and that is most of it.
INSERT INTO job ({new}, {unlived}) VALUES ({new_marks}, {unlived_values});

-- name: add_spec
INSERT INTO spec VALUES (?, ?);

-- name: add_submitted
-- The events of all jobs from a number on.
INSERT INTO event (number, id, event, at)
SELECT number, id, 'submitted', :now FROM job WHERE number >= :first ORDER BY number;

-- name: add_tags
-- The tags of all jobs from a number on.
INSERT OR IGNORE INTO tag
SELECT job.owner, given.value, job.state, job.number FROM job CROSS JOIN json_each(job.tags) AS given
WHERE job.number >= :first AND job.tags <> '[]';

-- name: add_to_tally
INSERT INTO tally VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n;

-- name: add_text
-- With values, never from a SELECT: that makes FTS5 write out all it has gathered each time.
INSERT INTO name_text (rowid, folded) VALUES (?, ?);

-- name: drop_text
-- The index keeps no names: it must be told what to forget, before the row changes.
INSERT INTO name_text (name_text, rowid, folded)
SELECT 'delete', number, folded FROM job WHERE id = :id AND version = :version;

-- name: add_event
INSERT INTO event (number, id, event, at, was) VALUES (?, ?, ?, ?, ?);

-- name: move_job
-- What the life of a job changes: compare-and-set on its version, which only goes up.
UPDATE job SET {life} WHERE id = ? AND version = ? AND version < ?;

-- name: edit_job
-- The same where people have changed something: all that may change.
UPDATE job SET {edited} WHERE id = ? AND version = ? AND version < ?;

-- name: edit_spec
UPDATE spec SET json = ? WHERE number = ?;

-- name: delete_job
-- Triggers take along what belongs to it.
DELETE FROM job WHERE id = ? AND version = ?;

-- name: put_attempt
-- A new attempt, or what became of a known one.
INSERT INTO attempt ({attempt}) VALUES ({attempt_marks})
ON CONFLICT (job, number) DO UPDATE SET {attempt_sets};

-- name: receipt
SELECT body_hash, job_ids FROM receipt WHERE owner = ? AND key = ?;

-- name: add_receipt
INSERT INTO receipt (owner, key, body_hash, job_ids, created_at, remaining)
VALUES (?, ?, ?, ?, ?, ?);

-- name: forget_receipts
DELETE FROM receipt WHERE created_at < ?;

-- name: forget_events
-- A bounded number at once, the oldest first, so that other writers are not kept waiting.
DELETE FROM event WHERE seq IN (SELECT seq FROM event WHERE seq <= ? ORDER BY seq LIMIT ?);

-- name: version_of
SELECT version, state FROM job WHERE id = ?;

-- name: get
SELECT {job} FROM job JOIN spec USING (number) WHERE job.id = ?;

-- name: get_many
-- The ids come as one JSON list; the answer has no order.
SELECT {job} FROM json_each(?) AS asked CROSS JOIN job ON job.id = asked.value
CROSS JOIN spec ON spec.number = job.number;

-- name: head
-- Starting order (schedule.starting_order), of the kinds that this version can run; of the queue `direct`, or all others.
SELECT {job} FROM job INDEXED BY job_queued CROSS JOIN spec ON spec.number = job.number
WHERE job.state = 'queued' AND job.kind IN (SELECT value FROM json_each(?)) AND (job.queue = 'direct') = ?
ORDER BY job.priority DESC, coalesce(job.queued_at, job.created_at), job.number LIMIT ?;

-- name: due
SELECT {job} FROM job INDEXED BY job_scheduled CROSS JOIN spec ON spec.number = job.number
WHERE job.state = 'scheduled' AND job.kind IN (SELECT value FROM json_each(?))
ORDER BY job.due_at, job.number LIMIT ?;

-- name: live
SELECT {job} FROM job INDEXED BY job_live CROSS JOIN spec ON spec.number = job.number
WHERE job.state IN ('starting', 'running') OR job.resume_to = 'running'
ORDER BY job.number;

-- name: position
-- How many queued jobs stand before this place; three ranges of one index.
SELECT
    (SELECT count(*) FROM job INDEXED BY job_queued
     WHERE state = 'queued' AND priority > :priority)
  + (SELECT count(*) FROM job INDEXED BY job_queued
     WHERE state = 'queued' AND priority = :priority
       AND coalesce(queued_at, created_at) < :since)
  + (SELECT count(*) FROM job INDEXED BY job_queued
     WHERE state = 'queued' AND priority = :priority
       AND coalesce(queued_at, created_at) = :since AND number < :number);

-- name: attempts
SELECT job.id, {of_attempt} FROM job CROSS JOIN attempt ON attempt.job = job.number WHERE job.id = ?
ORDER BY attempt.number;

-- name: tally
-- How many jobs of each sort there are; a few rows, however many jobs.
SELECT owner, queue, kind, state, n FROM tally WHERE n > 0;

-- name: forgotten
-- Events up to this number are no longer kept.
SELECT coalesce((SELECT min(seq) FROM event) - 1,
                (SELECT seq FROM sqlite_sequence WHERE name = 'event'), 0);

-- name: changes
-- What happened, with the jobs as they are now. The beginning of a job that is gone by now is left
-- out: there is nothing to tell about it.
SELECT event.seq, event.event, event.at, event.id, event.was, {job}
FROM event LEFT JOIN job ON job.number = event.number LEFT JOIN spec ON spec.number = event.number
WHERE event.seq > ? AND (event.was IS NOT NULL OR job.number IS NOT NULL)
ORDER BY event.seq LIMIT ?;

-- name: numbers
-- Where the jobs of a JSON list of ids stand.
SELECT job.number FROM json_each(?) AS asked CROSS JOIN job ON job.id = asked.value;

-- name: range_all
-- Ranges give numbers downwards from below a number; a list merges them and joins the rows.
SELECT number FROM job WHERE number < ?

-- name: range_state
SELECT number FROM job INDEXED BY job_by_state WHERE number < ? AND owner = ? AND state = ?

-- name: range_line
SELECT number FROM job INDEXED BY job_by_line
WHERE number < ? AND owner = ? AND queue = ? AND kind = ? AND state = ?

-- name: range_tag
SELECT number FROM tag WHERE number < ? AND owner = ? AND tag = ? AND state = ?

-- name: range_numbers
-- The numbers come as a JSON list, highest first.
SELECT value AS number FROM json_each(?) LIMIT ?

-- name: range_text
SELECT rowid AS number FROM name_text WHERE rowid < ? AND name_text MATCH ?

-- name: page
-- The rows of the merged ranges that the rest of the filter accepts. The inner limit bounds the work.
SELECT {job} FROM ({ranges}) AS candidate CROSS JOIN job ON job.number = candidate.number
CROSS JOIN spec ON spec.number = job.number WHERE {rest} LIMIT ?

-- name: looked_at
-- How far a page that was not filled has looked: how many candidates, and the last of them.
SELECT count(*), min(number) FROM ({ranges})

-- name: size
-- How long the ranges are, counted up to a bound.
SELECT count(*) FROM ({ranges})

-- name: text_index_is_whole
-- Whether every name is in the index that text.sql describes.
SELECT is_whole FROM text_index;

-- name: disown_text_index
UPDATE text_index SET is_whole = 0;

-- name: rest_owner
-- What a list's ranges do not ensure by themselves is asked of each candidate's row.
job.owner = ?

-- name: rest_states
job.state IN (SELECT value FROM json_each(?))

-- name: rest_kinds
job.kind IN (SELECT value FROM json_each(?))

-- name: rest_queues
job.queue IN (SELECT value FROM json_each(?))

-- name: rest_tag
EXISTS (SELECT 1 FROM tag WHERE tag.owner = job.owner AND tag.tag = ?
        AND tag.state = job.state AND tag.number = job.number)

-- name: rest_text
instr(job.folded, ?) > 0
