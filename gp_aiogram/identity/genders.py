"""English words that say a gender, as Meta's parameter builder knows them."""

from __future__ import annotations

_MALE = """
m male man boy gentleman guy lad fellow chap bloke dude
he him his himself
sir mister mr
son father dad daddy papa uncle nephew brother husband boyfriend groom widower
king prince duke count emperor lord god
"""

_FEMALE = """
f female woman girl lady gal lass maiden chick dame belle
she her hers herself
madam ma'am miss mrs ms
daughter mother mom mommy mama aunt niece sister wife girlfriend bride widow
queen princess duchess countess empress goddess
"""

#: The initial by word.
GENDERS = dict.fromkeys(_MALE.split(), "m") | dict.fromkeys(_FEMALE.split(), "f")
