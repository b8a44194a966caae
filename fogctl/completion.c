/* SPDX-License-Identifier: MIT */
/*
 * Completion of shells, made from the tables: for each command its words, its options and whether a
 * file comes next. What stands here beside them are the commands of `image` and `node`, which have
 * tables of their own.
 */
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "fogctl/command.h"

/* options: with "--", a space between. */
static const struct other {
	const char *name, *options, *help;
	bool has_files;
} others[] = {
	{ "image create", "--json --store --help", "make an image of installed packages", false },
	{ "image import", "--json --store --strip --help", "take in an OCI image", true },
	{ "image list", "--json --store --help", "the images of this machine", false },
	{ "image verify", "--json --store --help", "compare an image with its digest", false },
	{ "image rm", "--json --store --help", "remove an image", false },
	{ "node keygen", "--out --help", "make the key of this node", false },
	{ "node show-key", "--help", "print the public key of this node", true },
};

/* What a shell needs of one command. */
struct completed {
	char options[512]; /* a space before each */
	bool has_files;
	const char *name, *help;
};

static void
complete_command(const struct fogctl_command *c, struct completed *out)
{
	const uint32_t everywhere = UINT32_C(1) << OPTION_JSON | UINT32_C(1) << OPTION_HELP;
	size_t at = 0;

	*out = (struct completed){ .has_files = c->has_files, .name = c->name, .help = c->help };
	for (int i = 0; i < OPTION_COUNT; i++) {
		if ((c->options | everywhere) & UINT32_C(1) << i && at < sizeof(out->options))
			at += (size_t)snprintf(out->options + at, sizeof(out->options) - at,
			    " --%s", fogctl_options[i].shown.name);
	}
}

static bool
complete_at(size_t i, struct completed *out)
{
	const struct other *o;

	if (i < fogctl_command_count) {
		complete_command(&fogctl_commands[i], out);
		return true;
	}
	if (i - fogctl_command_count >= COUNT_OF(others))
		return false;
	o = &others[i - fogctl_command_count];
	*out = (struct completed){ .has_files = o->has_files, .name = o->name, .help = o->help };
	snprintf(out->options, sizeof(out->options), " %s", o->options);
	return true;
}

/* "--a|--b" of the options whose value is, or is no, file. */
static void
print_valued(enum fogctl_value value)
{
	const char *between = "";

	for (int i = 0; i < OPTION_COUNT; i++) {
		if (fogctl_options[i].value != value)
			continue;
		printf("%s--%s", between, fogctl_options[i].shown.name);
		between = "|";
	}
}

/* --- bash, and zsh with its emulation of it --- */

static void
print_bash_commands(void)
{
	struct completed c;

	for (size_t i = 0; complete_at(i, &c); i++) {
		printf("\t\t'%s'*) options='%s'%s ;;\n", c.name, c.options + 1,
		    c.has_files ? " files=1" : "");
	}
}

static void
print_bash_words(void)
{
	struct completed c;

	for (size_t i = 0; complete_at(i, &c); i++)
		printf("%s'%s'", i ? " " : "", c.name);
}

/* The words before the cursor without options and their values are the command. */
static void
print_bash(void)
{
	printf("# fogctl completion bash\n_fogctl() {\n"
	       "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} said= "
	       "options= files= word i\n"
	       "\tlocal -a commands=(");
	print_bash_words();
	printf(")\n\tCOMPREPLY=()\n\tcase $prev in\n\t");
	print_valued(VALUE_FILE);
	printf("|--store|--out) COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n\t");
	print_valued(VALUE_TEXT);
	printf(") return ;;\n\tcompletion) COMPREPLY=($(compgen -W 'bash zsh fish' -- \"$cur\")); "
	       "return ;;\n"
	       "\tverbose) COMPREPLY=($(compgen -W 'on off' -- \"$cur\")); return ;;\n\tesac\n"
	       "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n\t\tword=${COMP_WORDS[i]}\n"
	       "\t\tcase $word in\n\t\t");
	print_valued(VALUE_FILE);
	printf("|");
	print_valued(VALUE_TEXT);
	printf(
	    "|--store|--out) ((i++)) ;;\n\t\t-*) ;;\n\t\t*) said+=\"$word \" ;;\n\t\tesac\n\tdone\n"
	    "\tcase $said in\n");
	print_bash_commands();
	printf(
	    "\tesac\n"
	    "\tif [[ $cur == -* ]]; then\n"
	    "\t\tCOMPREPLY=($(compgen -W \"${options:---json --socket --help --version}\" -- \"$cur\"))\n"
	    "\t\treturn\n\tfi\n"
	    "\tfor word in \"${commands[@]}\"; do\n"
	    "\t\t[[ \"$word \" == \"$said\"* && \"$word \" != \"$said\" ]] || continue\n"
	    "\t\tword=${word#\"$said\"}\n"
	    "\t\tword=${word%%%% *}\n"
	    "\t\t[[ $word == \"$cur\"* && \" ${COMPREPLY[*]} \" != *\" $word \"* ]] && "
	    "COMPREPLY+=(\"$word\")\n"
	    "\tdone\n"
	    "\t[[ ${#COMPREPLY[@]} -gt 0 || -z $files ]] || COMPREPLY=($(compgen -f -- \"$cur\"))\n"
	    "}\ncomplete -F _fogctl fogctl\n");
}

/*
 * zsh runs what was written for bash. A file of its fpath is run when something is completed for the
 * first time, and that time has to be served as well.
 */
static void
print_zsh(void)
{
	printf("#compdef fogctl\n"
	       "autoload -U +X bashcompinit && bashcompinit\n");
	print_bash();
	printf("[[ ${funcstack[1]-} != _fogctl ]] || _bash_complete -F _fogctl\n");
}

/* --- fish --- */

/* help has no quote in it: ours alone. */
static void
print_fish_option(const char *name, const char *option)
{
	for (int i = 0; i < OPTION_COUNT; i++) {
		const struct fogctl_option *o = &fogctl_options[i].shown;

		if (strcmp(o->name, option) != 0)
			continue;
		printf("complete -c fogctl -n '%s \"%s\"' -l %s%s -d \"%s\"\n",
		    *name ? "__fogctl_said" : "__fogctl_is", name, option,
		    fogctl_options[i].value == VALUE_FILE       ? " -r -F"
			: fogctl_options[i].value == VALUE_TEXT ? " -x"
								: "",
		    o->help);
		return;
	}
	printf("complete -c fogctl -n '__fogctl_said \"%s\"' -l %s%s\n", name, option,
	    strcmp(option, "store") == 0 || strcmp(option, "out") == 0 ? " -r -F" : "");
}

static void
print_fish_command(const struct completed *c)
{
	const char *space = strchr(c->name, ' ');
	char before[32] = "", options[512], *rest = options, *option;

	if (space)
		snprintf(before, sizeof(before), "%.*s", (int)(space - c->name), c->name);
	if (space)
		printf("complete -c fogctl -n '__fogctl_is \"\"' -a %s\n", before);
	printf("complete -c fogctl -n '__fogctl_is \"%s\"' -a %s -d \"%s\"\n", before,
	    space ? space + 1 : c->name, c->help);
	snprintf(options, sizeof(options), "%s", c->options);
	while ((option = strsep(&rest, " "))) {
		if (*option)
			print_fish_option(c->name, option + 2);
	}
	if (c->has_files)
		printf("complete -c fogctl -n '__fogctl_said \"%s\"' -F\n", c->name);
}

/*
 * The words before the cursor without options and their values: all of them, whether they are these,
 * and whether they begin with these.
 */
static void
print_fish_words(void)
{
	printf("# fogctl completion fish\n"
	       "function __fogctl_words\n"
	       "\tset -l is_value no\n\tset -l words (commandline -opc)\n"
	       "\tfor word in $words[2..-1]\n"
	       "\t\tif test $is_value = yes\n\t\t\tset is_value no\n"
	       "\t\telse if contains -- $word --store --out");
	for (int i = 0; i < OPTION_COUNT; i++) {
		if (fogctl_options[i].value != VALUE_NONE)
			printf(" --%s", fogctl_options[i].shown.name);
	}
	printf(
	    "\n\t\t\tset is_value yes\n"
	    "\t\telse if not string match -q -- '-*' $word\n\t\t\techo $word\n"
	    "\t\tend\n\tend\nend\n"
	    "function __fogctl_is\n"
	    "\ttest \"$argv[1]\" = (string join -- ' ' (__fogctl_words) '' | string trim)\nend\n"
	    "function __fogctl_said\n"
	    "\tstring match -q -- \"$argv[1] *\" (string join -- ' ' (__fogctl_words) '')\nend\n");
}

static void
print_fish(void)
{
	static const char *const at_once[] = { "json", "socket", "help" }; /* before a command */
	struct completed c;

	print_fish_words();
	printf("complete -c fogctl -f\n"
	       "complete -c fogctl -n '__fogctl_is \"\"' -l version\n");
	for (size_t i = 0; i < COUNT_OF(at_once); i++)
		print_fish_option("", at_once[i]);
	for (size_t i = 0; complete_at(i, &c); i++)
		print_fish_command(&c);
	printf("complete -c fogctl -n '__fogctl_is completion' -a 'bash zsh fish'\n"
	       "complete -c fogctl -n '__fogctl_is \"log verbose\"' -a 'on off'\n");
}

int
run_completion(const struct fogctl_wish *w)
{
	static const struct {
		const char *shell;
		void (*print)(void);
	} shells[] = { { "bash", print_bash }, { "zsh", print_zsh }, { "fish", print_fish } };

	for (size_t i = 0; i < COUNT_OF(shells); i++) {
		if (strcmp(w->arguments[0], shells[i].shell) != 0)
			continue;
		shells[i].print();
		return EXIT_DONE;
	}
	return usage_error("bash, zsh or fish, not", w->arguments[0]);
}
