-- The index of names by their trigrams. It holds no copy of the names: what goes must be told.
DROP TABLE IF EXISTS name_text;
CREATE VIRTUAL TABLE name_text USING fts5 (
    folded, content = '', columnsize = 0, detail = none, tokenize = 'trigram case_sensitive 1'
);
INSERT INTO name_text (rowid, folded) SELECT number, folded FROM job;
UPDATE text_index SET is_whole = 1;
