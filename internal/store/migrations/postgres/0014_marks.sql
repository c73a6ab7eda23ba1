-- The last change of each commit carries a random mark: who lost the answer to the commit finds out by it whether it is there.
ALTER TABLE changes ADD COLUMN mark TEXT NOT NULL DEFAULT '';
