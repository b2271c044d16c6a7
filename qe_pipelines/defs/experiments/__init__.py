"""Stage 7: experiments that show what learning and sharing are worth, run on demand."""
