package analysis

import (
	snowball "github.com/blevesearch/snowballstem"
	"github.com/blevesearch/snowballstem/arabic"
	"github.com/blevesearch/snowballstem/danish"
	"github.com/blevesearch/snowballstem/dutch"
	"github.com/blevesearch/snowballstem/english"
	"github.com/blevesearch/snowballstem/finnish"
	"github.com/blevesearch/snowballstem/french"
	"github.com/blevesearch/snowballstem/german"
	"github.com/blevesearch/snowballstem/hungarian"
	"github.com/blevesearch/snowballstem/irish"
	"github.com/blevesearch/snowballstem/italian"
	"github.com/blevesearch/snowballstem/norwegian"
	"github.com/blevesearch/snowballstem/portuguese"
	"github.com/blevesearch/snowballstem/romanian"
	"github.com/blevesearch/snowballstem/russian"
	"github.com/blevesearch/snowballstem/spanish"
	"github.com/blevesearch/snowballstem/swedish"
	"github.com/blevesearch/snowballstem/tamil"
	"github.com/blevesearch/snowballstem/turkish"
)

// A language has a stemmer, and a short list of words that say nothing about what
// a text is about: articles, pronouns, prepositions, conjunctions, forms of "to
// be". The lists are short on purpose. A word that is left out cannot be searched
// for, and BM25 gives frequent words little weight anyway.
type language struct {
	stem func(*snowball.Env) bool
	stop string
}

var languages = map[string]language{
	"ar": {arabic.Stem, "من في على إلى عن مع هذا هذه ذلك التي الذي هو هي أن إن كان و أو ما لا"},
	"da": {danish.Stem, "og i at det en den til er som på de med han af for ikke der var et har om vi hun men eller fra"},
	"nl": {dutch.Stem, "de het een en van ik te dat die in is op aan met als voor er maar om dan zou of wat ook door bij tot uit naar"},
	"en": {english.Stem, "a an and are as at be but by for if in into is it its of on or s such t that the their then there these they this to was were will with"},
	"fi": {finnish.Stem, "ja on ei se että oli olla hän joka mutta tai kun niin ovat myös kuin sen ne"},
	"fr": {french.Stem, "le la les un une des du de d l et en à au aux est que qui qu dans pour par sur ne pas se ce il elle ou où avec son sa ses sont"},
	"de": {german.Stem, "der die das den dem des ein eine einer eines einem einen und oder in im ist zu mit von vom für auf an am als auch es er sie nicht sich bei aus dass daß wird sind war"},
	"hu": {hungarian.Stem, "a az és is hogy egy nem ez meg de ha csak volt van el mint már"},
	"ga": {irish.Stem, "an na a agus i ar le do go is de ag ní ó nó"},
	"it": {italian.Stem, "il lo la i gli le un uno una di a da in con su per tra fra e o che non si è del della dei delle al alla nel nella sono come"},
	"no": {norwegian.Stem, "og i det på som er en til å han av for med at var de ikke den har jeg om et men seg fra eller"},
	"pt": {portuguese.Stem, "o a os as um uma de do da dos das em no na nos nas e ou que para por com não se é ao à como mais"},
	"ro": {romanian.Stem, "și în de la cu pe un o este că nu a al ale din care pentru sau mai se"},
	"ru": {russian.Stem, "и в не на что он с как а то это по к но из у за от о же для или бы был она они мы вы"},
	"es": {spanish.Stem, "el la los las un una unos unas de del a al en y o que con por para se no es su sus lo como más pero son"},
	"sv": {swedish.Stem, "och i att det en den till är som på de med han av för inte var ett har om vi hon men eller från"},
	"ta": {tamil.Stem, "ஒரு என்று மற்றும் இந்த இது என்ற கொண்டு என்பது பல"},
	"tr": {turkish.Stem, "ve bir bu da de için ile o çok ne mi ama gibi daha en olarak"},
}
