"""Trains one trial: no Ray, no click, no files but the data set's and a checkpoint it is handed."""
