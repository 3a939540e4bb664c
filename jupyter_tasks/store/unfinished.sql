-- Whether anything waits for a server: a job that waits or holds a slot. Three looks into small indices.
SELECT EXISTS (SELECT 1 FROM job INDEXED BY job_queued WHERE state = 'queued')
    OR EXISTS (SELECT 1 FROM job INDEXED BY job_scheduled WHERE state = 'scheduled')
    OR EXISTS (SELECT 1 FROM job INDEXED BY job_live
               WHERE state IN ('starting', 'running') OR resume_to = 'running');
